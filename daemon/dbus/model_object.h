// One model on the bus.
#pragma once

#include <halod1_adaptor.h>

#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "daemon/control/model.h"
#include "daemon/dbus/bus_calls.h"
#include "daemon/dbus/bus_values.h"
#include "daemon/dbus/changed_properties.h"

namespace halod {

/// Reads from the ModelManager at each question. Thread: the io thread. Throws sdbus::Error when the bus is
/// lost.
class ModelObject final : public sdbus::AdaptorInterfaces<io::halod::Halod1::Model_adaptor> {
 public:
  ModelObject(sdbus::IConnection& connection, const BusContext& context, const Model& model);
  ~ModelObject() { unregisterAdaptor(); }
  ModelObject(const ModelObject&) = delete;
  ModelObject& operator=(const ModelObject&) = delete;

  void announce() { getObject().emitInterfacesAddedSignal(); }
  void withdraw() { getObject().emitInterfacesRemovedSignal(); }
  /// Tells listeners what changed.
  void publish();
  /// The name that its path is made of.
  const std::string& name() const { return name_; }

 private:
  using Names = std::vector<std::string>;
  /// In the order of the names in model_object.cpp.
  using Values = std::tuple<std::string, Names, std::string, std::string, uint64_t, uint32_t, std::string,
                            uint64_t, sdbus::Struct<std::string, std::string>>;
  const Model& model() const;
  Values values();

  void Load(sdbus::Result<sdbus::ObjectPath>&& result,
            std::map<std::string, sdbus::Variant> options) override;
  void Unload(sdbus::Result<sdbus::ObjectPath>&& result,
              std::map<std::string, sdbus::Variant> options) override;
  std::string Name() override { return model().spec.name; }
  Names Aliases() override { return model().spec.config.aliases; }
  std::string Path() override { return model().spec.path.string(); }
  std::string Architecture() override;
  std::string Quantization() override;
  uint64_t SizeBytes() override;
  uint32_t ContextLength() override { return context_length_of(model()); }
  std::string State() override { return std::string(to_string(model().state)); }
  uint64_t ResidentBytes() override { return model().resident_bytes(); }
  uint64_t LastUsedUSec() override;
  uint32_t UnfinishedRequests() override;
  sdbus::Struct<std::string, std::string> LastError() override;

  const BusContext& context_;
  ModelId id_;
  std::string name_;
  ChangedProperties<Values> published_;
};

}  // namespace halod
