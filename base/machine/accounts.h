// Users and groups of the machine, by its own files: /etc/passwd and /etc/group.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace halod {

/// A user as permissions see one.
struct Identity {
  std::string name;
  uint32_t uid = 0;
  std::vector<uint32_t> gids;  ///< the primary group, then the others

  bool in(uint32_t gid) const;
};

struct Group {
  std::string name;
  uint32_t gid = 0;
  std::vector<std::string> members;
};

class Accounts {
 public:
  /// Thread: any.
  static Accounts read(const std::filesystem::path& root);

  const Group* find_group(std::string_view name) const;
  /// The group's name, or its number where it has none.
  std::string group_name(uint32_t gid) const;
  /// Nothing for a user that is not in /etc/passwd.
  std::optional<Identity> find_user(std::string_view name) const;

 private:
  struct User {
    std::string name;
    uint32_t uid = 0, gid = 0;
  };
  std::vector<User> users_;
  std::vector<Group> groups_;
};

/// Who runs this process.
Identity current_identity();

}  // namespace halod
