#include "cli/completion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/child_program.h"
#include "cli/command_line.h"
#include "cli/exit_status.h"
#include "cli/man_page.h"
#include "tests/support/temporary_folder.h"

namespace halod::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

CommandDoc haloctl() {
  CLI::App app{"haloctl: look after a halod server and talk to its models", "haloctl"};
  CommandLine line;
  declare_commands(app, line);
  return describe(app);
}

const CommandDoc& command(const CommandDoc& root, const char* name) {
  for (const CommandDoc& found : root.commands) {
    if (found.name == name) return found;
  }
  throw std::out_of_range(name);
}

TEST(TheCommandLinesTree, HoldsWhatHelpShowsAndNothingHidden) {
  const CommandDoc root = haloctl();
  const CommandDoc& swap = command(root, "swap");
  ASSERT_EQ(swap.arguments.size(), 1U);
  EXPECT_EQ(swap.arguments[0].value, kModelType);
  EXPECT_TRUE(swap.arguments[0].required);
  ASSERT_EQ(swap.options.size(), 3U);  // --help too
  EXPECT_EQ(swap.options[1].names, std::vector<std::string>{"--policy"});
  EXPECT_EQ(swap.options[1].values, (std::vector<std::string>{"drain", "pause"}));
  EXPECT_EQ(swap.options[2].value, "");
  EXPECT_THROW(command(root, "completion"), std::out_of_range);
  for (const OptionDoc& option : command(root, "doctor").options) EXPECT_NE(option.names.back(), "--root");
}

/// The words that bash offers after a line, from the script itself.
std::string bash_offers(const std::string& line) {
  const TemporaryFolder folder;
  const auto script = folder.write_file("haloctl.bash", bash_completion(haloctl()));
  const auto output =
      run_program("bash",
                  {"-c",
                   "haloctl() { printf 'large\\nsmall\\n'; }; . \"$1\"; read -ra COMP_WORDS <<< \"$2\"; "
                   "[[ $2 == *' ' ]] && COMP_WORDS+=(''); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); "
                   "_haloctl; echo \"${COMPREPLY[@]}\"",
                   "bash", script.string(), line},
                  std::chrono::seconds(20));
  return output ? output->out + output->err : output.error().message;
}

TEST(BashCompletion, OffersCommandsOptionsValuesAndModels) {
  EXPECT_EQ(bash_offers("haloctl sw"), "swap\n");
  EXPECT_EQ(bash_offers("haloctl swap "), "large small\n");
  EXPECT_EQ(bash_offers("haloctl swap l"), "large\n");
  EXPECT_EQ(bash_offers("haloctl swap large --pol"), "--policy\n");
  EXPECT_EQ(bash_offers("haloctl swap large --policy "), "drain pause\n");
  EXPECT_EQ(bash_offers("haloctl chat --model s"), "small\n");
  EXPECT_EQ(bash_offers("haloctl --json log-level cr"), "critical\n");
  EXPECT_EQ(bash_offers("haloctl models --n"), "--names\n");
  EXPECT_EQ(bash_offers("haloctl inspect /proc/self/mountst"), "/proc/self/mountstats\n");
}

TEST(ZshCompletion, DescribesEveryCommand) {
  const CommandDoc root = haloctl();
  const std::string script = zsh_completion(root);
  for (const CommandDoc& each : root.commands)
    EXPECT_THAT(script, HasSubstr("'" + each.name + ":" + each.description + "'"));
  EXPECT_THAT(script, HasSubstr("'--policy["));
  EXPECT_THAT(script, HasSubstr(":(drain pause)'"));
  EXPECT_THAT(script, HasSubstr("':model:_haloctl_models'"));
  EXPECT_THAT(script, HasSubstr("':path:_files'"));
}

TEST(FishCompletion, DescribesEveryCommand) {
  const CommandDoc root = haloctl();
  const std::string script = fish_completion(root);
  for (const CommandDoc& each : root.commands) EXPECT_THAT(script, HasSubstr(" -a " + each.name + " -d '"));
  EXPECT_THAT(script, HasSubstr("-n '__fish_seen_subcommand_from swap' -l policy -d 'what becomes"));
  EXPECT_THAT(script, HasSubstr("-xa 'drain pause'"));
  EXPECT_THAT(script, HasSubstr("-xa '(haloctl models --names 2>/dev/null)'"));
}

TEST(TheManPage, NamesEveryCommandOptionAndExitStatus) {
  const CommandDoc root = haloctl();
  const std::string page = man_page(root, "1.2.3");
  for (const CommandDoc& each : root.commands) {
    std::string name = each.name;
    if (const size_t dash = name.find('-'); dash != std::string::npos) name.replace(dash, 1, "\\-");
    EXPECT_THAT(page, HasSubstr(".SS " + name + "\n"));
  }
  for (const ExitStatusRow& row : exit_statuses())
    EXPECT_THAT(page, HasSubstr(".TP\n" + std::to_string(row.status) + "\n"));
  EXPECT_THAT(page, HasSubstr("\\fB\\-\\-policy\\fR \\fIdrain|pause\\fR"));
  EXPECT_THAT(page, HasSubstr("also read from \\fBHALOD_URL\\fR"));
  EXPECT_THAT(page, Not(HasSubstr("\\-\\-root")));
}

TEST(AChildProgram, GivesItsOutputAndStatus) {
  const auto output = run_program("sh", {"-c", "echo out; echo err >&2; exit 3"}, std::chrono::seconds(20));
  ASSERT_TRUE(output);
  EXPECT_EQ(output->out, "out\n");
  EXPECT_EQ(output->err, "err\n");
  EXPECT_EQ(output->status, 3);
  EXPECT_EQ(run_program("sh", {"-c", "kill -ILL $$"}, std::chrono::seconds(20))->status, 128 + 4);
}

TEST(AChildProgram, IsKilledWhenItTakesTooLong) {
  const auto output = run_program("sleep", {"60"}, std::chrono::seconds(0));
  ASSERT_FALSE(output);
  EXPECT_EQ(output.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(run_program("/no/such/program", {}, std::chrono::seconds(1)).error().code, ErrorCode::kIo);
}

}  // namespace
}  // namespace halod::cli
