#include "daemon/dbus/model_object.h"

#include "daemon/dbus/bus_error.h"
#include "daemon/dbus/call_options.h"

namespace halod {
namespace {

constexpr std::array kChangingModelProperties{"Name",         "Aliases",       "Architecture",
                                              "Quantization", "SizeBytes",     "ContextLength",
                                              "State",        "ResidentBytes", "LastError"};

}  // namespace

ModelObject::ModelObject(sdbus::IConnection& connection, const BusContext& context, const halod::Model& model)
    : AdaptorInterfaces(connection, sdbus::ObjectPath(context.paths.add(model.id, model.spec.name))),
      context_(context),
      id_(model.id),
      name_(model.spec.name),
      published_(kChangingModelProperties, values()) {
  registerAdaptor();
}

const Model& ModelObject::model() const {
  const Model* model = context_.models.find_model(id_);
  if (!model) throw unknown_object("model '" + name_ + "' is gone");
  return *model;
}

ModelObject::Values ModelObject::values() {
  return {Name(),          Aliases(), Architecture(),  Quantization(), SizeBytes(),
          ContextLength(), State(),   ResidentBytes(), LastError()};
}

void ModelObject::publish() {
  const std::vector<std::string> changed = published_.update(values());
  if (!changed.empty()) sdbus_compat::emit_changed(getObject(), INTERFACE_NAME, changed);
}

// By name, not by id: a method's work is the ModelManager's, and the name is what it takes.

void ModelObject::Load(sdbus::Result<sdbus::ObjectPath>&& result,
                       std::map<std::string, sdbus::Variant> options) {
  const auto start = [&models = context_.models, name = Name(),
                      options = std::move(options)](const Requester& requester) -> Result<JobId> {
    if (auto none = refuse_options(options); !none) return none.error();
    return models.load(name, requester);
  };
  answer_with_job(context_, getObject(), "io.halod.load", std::move(result), start);
}

void ModelObject::Unload(sdbus::Result<sdbus::ObjectPath>&& result,
                         std::map<std::string, sdbus::Variant> options) {
  const auto start = [&models = context_.models, name = Name(),
                      options = std::move(options)](const Requester& requester) -> Result<JobId> {
    const auto policy = read_policy(options, models.default_policy());
    if (!policy) return policy.error();
    return models.unload(name, *policy, requester);
  };
  answer_with_job(context_, getObject(), "io.halod.unload", std::move(result), start);
}

std::string ModelObject::Architecture() { return model().info ? model().info->architecture : ""; }
std::string ModelObject::Quantization() { return model().info ? model().info->quantization : ""; }
uint64_t ModelObject::SizeBytes() { return model().info ? model().info->size_bytes : 0; }
uint64_t ModelObject::LastUsedUSec() { return to_bus_time(model().last_used_at); }

uint32_t ModelObject::UnfinishedRequests() {
  return static_cast<uint32_t>(context_.models.n_unfinished(id_));
}

sdbus::Struct<std::string, std::string> ModelObject::LastError() { return error_property(model().error); }

}  // namespace halod
