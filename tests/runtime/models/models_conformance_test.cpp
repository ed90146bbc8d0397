// Every model of the conformance kit against its reference logits and greedy
// continuations. Limits: the kit's README.
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "bench/loaded_model.h"

namespace halod {
namespace {

using bench::LoadedModel;
namespace json = boost::json;

const std::filesystem::path kKit = HALOD_CONFORMANCE_DIR;

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<float> read_floats(const std::filesystem::path& path) {
  const std::string bytes = read_file(path);
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return values;
}

std::vector<TokenId> token_ids(const json::value& array) {
  std::vector<TokenId> ids;
  for (const json::value& id : array.as_array()) ids.push_back(static_cast<TokenId>(id.to_number<int32_t>()));
  return ids;
}

/// Beyond F32 and BF16: gpt-oss has MXFP4 experts.
bool is_quantised(const std::string& name) {
  const auto has = [&name](const char* part) { return name.find(part) != std::string::npos; };
  return has("-q-") || has("gpt-oss") || has("-gptq") || has("-awq");
}

class TheConformanceKit : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(kKit / "gguf_manifest.json")) {
      GTEST_SKIP() << "no conformance kit at " << kKit << "; set HALOD_CONFORMANCE_DIR to run its models";
    }
    for (const char* manifest : {"gguf_manifest.json", "safetensors_manifest.json"}) {
      const json::value parsed = json::parse(read_file(kKit / manifest));
      for (const json::value& model : parsed.at("models").as_array()) models_.push_back(model);
    }
  }

  /// Calls check(name, path, sequence) for every sequence of every model that this build claims to run.
  template <class Check>
  void for_each_sequence(const Check& check) {
    int n_models = 0;
    for (const json::value& model : models_) {
      const std::string name(model.at("model").as_string());
      ++n_models;
      for (const json::value& sequence : model.at("sequences").as_array()) {
        SCOPED_TRACE(name + " " + std::string(sequence.at("name").as_string()));
        check(name, kKit / name, sequence);
      }
    }
    EXPECT_GE(n_models, 15) << "the kit has fifteen models";
  }

  static LoadedModel load(const std::filesystem::path& path, bool exact) {
    return LoadedModel({.path = path,
                        .backend = {.n_threads = 2, .exact = exact},
                        .context_length = 256,
                        .max_logit_rows = 64});
  }

  /// Per given position: largest absolute error and NMSE of our logits.
  struct PositionError {
    double max_abs, nmse;
  };
  static std::vector<PositionError> errors(LoadedModel& model, const json::value& sequence, int64_t chunk) {
    const std::vector<TokenId> ids = token_ids(sequence.at("ids"));
    const std::vector<float> reference =
        read_floats(kKit / std::string(sequence.at("refs").at("f32").at("logits").as_string()));
    const auto n_positions = static_cast<int64_t>(sequence.at("positions").as_array().size());
    const std::vector<float> logits =
        model.append(ids, static_cast<int64_t>(ids.size()) - n_positions, chunk);
    EXPECT_EQ(logits.size(), reference.size());
    const size_t vocab_size = reference.size() / static_cast<size_t>(n_positions);
    std::vector<PositionError> result;
    for (size_t begin = 0; begin < reference.size(); begin += vocab_size) {
      double max_abs = 0, error = 0, power = 0;
      for (size_t i = begin; i < begin + vocab_size; ++i) {
        const double difference = static_cast<double>(logits[i]) - static_cast<double>(reference[i]);
        max_abs = std::max(max_abs, std::abs(difference));
        error += difference * difference;
        power += static_cast<double>(reference[i]) * static_cast<double>(reference[i]);
      }
      result.push_back({max_abs, error / power});
    }
    return result;
  }

  std::vector<json::value> models_;
};

TEST_F(TheConformanceKit, IsMatchedStrictlyByTheExactPathAtEveryPosition) {
  for_each_sequence([](const std::string&, const std::filesystem::path& path, const json::value& sequence) {
    LoadedModel model = load(path, true);
    for (const PositionError& error : errors(model, sequence, 512)) {
      EXPECT_LT(error.max_abs, 1e-3);
      EXPECT_LT(error.nmse, 1e-7);
    }
  });
}

TEST_F(TheConformanceKit, IsMatchedByTheFastPathWithinItsActivationTypesLimits) {
  for_each_sequence(
      [](const std::string& name, const std::filesystem::path& path, const json::value& sequence) {
        LoadedModel model = load(path, false);
        // Float weights meet f32 activations and an f16 KV cache; quantised ones 8-bit activations.
        const double limit = is_quantised(name) ? 5e-3 : 1e-4;
        const json::value* margins = sequence.as_object().if_contains("router_margin");
        const auto position_errors = errors(model, sequence, 512);
        int n_excused = 0;
        for (size_t i = 0; i < position_errors.size(); ++i) {
          if (position_errors[i].nmse < limit) continue;
          ASSERT_NE(margins, nullptr) << "position " << i << ": NMSE " << position_errors[i].nmse;
          EXPECT_LT(margins->at("at_positions").at(i).to_number<double>(), 0.05)
              << "position " << i << ": NMSE " << position_errors[i].nmse;
          ++n_excused;
        }
        EXPECT_LE(n_excused * 5, static_cast<int>(position_errors.size()));
      });
}

TEST_F(TheConformanceKit, IsContinuedGreedilyAsTheReferenceWhereverTheMarginAllows) {
  for_each_sequence(
      [](const std::string& name, const std::filesystem::path& path, const json::value& sequence) {
        for (bool exact : {true, false}) {
          LoadedModel model = load(path, exact);
          const json::value& reference = sequence.at("refs").at("f32");
          // About 20 times the path's error in a logit of standard deviation 2 to 3.
          const double needed_margin = exact ? 1e-3 : is_quantised(name) ? 1.0 : 0.06;
          std::vector<float> logits = model.append(token_ids(sequence.at("ids")));
          for (size_t step = 0; step < reference.at("greedy").as_array().size(); ++step) {
            const TokenId token = LoadedModel::argmax(logits);
            if (reference.at("greedy_margin").at(step).to_number<double>() < needed_margin) break;
            ASSERT_EQ(to_int(token), reference.at("greedy").at(step).to_number<int32_t>())
                << "step " << step << (exact ? ", exact" : "");
            logits = model.append({&token, 1});
          }
        }
      });
}

TEST_F(TheConformanceKit, GivesTheSameBitsTokenByTokenAndInChunks) {
  for_each_sequence([](const std::string&, const std::filesystem::path& path, const json::value& sequence) {
    for (bool exact : {true, false}) {
      LoadedModel model = load(path, exact);
      const std::vector<TokenId> ids = token_ids(sequence.at("ids"));
      const std::vector<float> at_once = model.append(ids, 0, 512);
      for (int64_t chunk : {1, 13, 64}) {
        model.rewind();
        EXPECT_EQ(model.append(ids, 0, chunk), at_once) << "in chunks of " << chunk;
      }
    }
  });
}

}  // namespace
}  // namespace halod
