#include "base/machine/accounts.h"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>

#include "base/machine/text_file.h"

namespace halod {
namespace {

/// Parts between the separators, empty ones too.
std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  size_t begin = 0;
  for (size_t end = 0; (end = text.find(separator, begin)) != std::string::npos; begin = end + 1)
    parts.push_back(text.substr(begin, end - begin));
  parts.push_back(text.substr(begin));
  return parts;
}

uint32_t id_of(const std::string& text) { return static_cast<uint32_t>(parse_number(text).value_or(~0U)); }

}  // namespace

bool Identity::in(uint32_t gid) const { return std::ranges::find(gids, gid) != gids.end(); }

Accounts Accounts::read(const std::filesystem::path& root) {
  Accounts accounts;
  for (const std::string& line : read_lines(root / "etc/passwd")) {
    const auto fields = split(line, ':');  // name:password:uid:gid:…
    if (fields.size() >= 4) accounts.users_.push_back({fields[0], id_of(fields[2]), id_of(fields[3])});
  }
  for (const std::string& line : read_lines(root / "etc/group")) {
    const auto fields = split(line, ':');  // name:password:gid:member,member
    if (fields.size() >= 4) accounts.groups_.push_back({fields[0], id_of(fields[2]), split(fields[3], ',')});
  }
  return accounts;
}

const Group* Accounts::find_group(std::string_view name) const {
  const auto found = std::ranges::find(groups_, name, &Group::name);
  return found == groups_.end() ? nullptr : &*found;
}

std::string Accounts::group_name(uint32_t gid) const {
  const auto found = std::ranges::find(groups_, gid, &Group::gid);
  return found == groups_.end() ? std::to_string(gid) : found->name;
}

std::optional<Identity> Accounts::find_user(std::string_view name) const {
  const auto user = std::ranges::find(users_, name, &User::name);
  if (user == users_.end()) return std::nullopt;
  Identity identity{user->name, user->uid, {user->gid}};
  for (const Group& group : groups_) {
    if (std::ranges::find(group.members, name) != group.members.end() && !identity.in(group.gid))
      identity.gids.push_back(group.gid);
  }
  return identity;
}

Identity current_identity() {
  Identity identity{.name = "", .uid = ::geteuid(), .gids = {::getegid()}};
  if (const passwd* entry = ::getpwuid(identity.uid)) identity.name = entry->pw_name;
  if (identity.name.empty()) identity.name = std::to_string(identity.uid);
  std::vector<gid_t> groups(static_cast<size_t>(std::max(0, ::getgroups(0, nullptr))));
  const int n_groups = ::getgroups(static_cast<int>(groups.size()), groups.data());
  for (int i = 0; i < n_groups; ++i) identity.gids.push_back(groups[static_cast<size_t>(i)]);
  return identity;
}

}  // namespace halod
