#include "kernels/ops/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <tuple>
#include <vector>

#include "kernels/ops/reference.h"
#include "tests/support/random_values.h"

namespace halod {
namespace {

using test::nmse;
using test::random_values;

/// Pages filled token by token through the variant's own store kernel; unused slots hold NaN, which must
/// never be looked at.
std::vector<std::vector<std::byte>> fill_pages(const KvStoreVariant& store, KvType type, int64_t head_dim,
                                               int64_t n_keys) {
  const std::vector<float> k = random_values(n_keys * head_dim, 31, 0.3F),
                           v = random_values(n_keys * head_dim, 32);
  std::vector<std::vector<std::byte>> pages(static_cast<size_t>((n_keys + 31) / 32));
  for (auto& page : pages)
    page.assign(static_cast<size_t>(kv_head_page_bytes(type, head_dim)), std::byte{0xff});
  for (int64_t j = 0; j < n_keys; ++j) {
    store.run({k.data() + j * head_dim, v.data() + j * head_dim, pages[static_cast<size_t>(j / 32)].data(),
               j % 32, head_dim, type});
  }
  return pages;
}

std::vector<const std::byte*> pointers_to(const std::vector<std::vector<std::byte>>& pages) {
  std::vector<const std::byte*> pointers;
  for (const auto& page : pages) pointers.push_back(page.data());
  return pointers;
}

class EveryAttentionVariant : public testing::TestWithParam<std::tuple<size_t, KvType>> {
 protected:
  const AttentionVariant& variant() const { return attention_variants()[std::get<0>(GetParam())]; }
  const KvStoreVariant& store() const { return kv_store_variants()[std::get<0>(GetParam())]; }
  KvType type() const { return std::get<1>(GetParam()); }
  void SetUp() override {
    if (!runs_on(variant().isa, cpu_features())) GTEST_SKIP() << "this CPU cannot run " << variant().name;
  }
};

TEST_P(EveryAttentionVariant, MatchesTheReferenceForOddLengthsAndGroups) {
  for (int64_t head_dim : {16, 64, 128, 256}) {
    for (int64_t n_keys : {1, 31, 32, 33, 257}) {
      const auto pages = fill_pages(store(), type(), head_dim, n_keys);
      const std::vector<const std::byte*> page_pointers = pointers_to(pages);
      for (int64_t n_heads : {1, 2, 3, 7, 8}) {
        const std::vector<float> q = random_values(n_heads * head_dim, 33);
        std::vector<float> out(q.size()), expected(q.size());
        AttentionKernelArgs args{.q = q.data(),
                                 .out = out.data(),
                                 .n_heads = n_heads,
                                 .head_dim = head_dim,
                                 .scale = 0.2F,
                                 .pages = page_pointers,
                                 .n_keys = n_keys,
                                 .type = type()};
        variant().run(args);
        args.out = expected.data();
        reference::attention(args);
        EXPECT_LT(nmse(out, expected), 1e-11)
            << head_dim << " wide, " << n_keys << " keys, " << n_heads << " heads";
      }
    }
  }
}

TEST_P(EveryAttentionVariant, SeesOnlyItsWindowAndGivesSinksTheirShare) {
  const int64_t head_dim = 64, n_heads = 3, n_keys = 107;
  const auto pages = fill_pages(store(), type(), head_dim, n_keys);
  const std::vector<const std::byte*> page_pointers = pointers_to(pages);
  const std::vector<float> q = random_values(n_heads * head_dim, 35), sinks = {2.0F, -1.0F, 0.5F};
  std::vector<float> out(q.size()), expected(q.size());
  for (const int64_t first_key : {0, 5, 32, 63, 64, 106}) {
    for (const float* sink : {static_cast<const float*>(nullptr), sinks.data()}) {
      AttentionKernelArgs args{.q = q.data(),
                               .out = out.data(),
                               .n_heads = n_heads,
                               .head_dim = head_dim,
                               .scale = 0.2F,
                               .pages = page_pointers,
                               .first_key = first_key,
                               .n_keys = n_keys,
                               .sinks = sink,
                               .type = type()};
      variant().run(args);
      args.out = expected.data();
      reference::attention(args);
      EXPECT_LT(nmse(out, expected), 1e-11) << "from key " << first_key;
    }
  }
}

TEST_P(EveryAttentionVariant, GivesAHeadTheSameBitsAloneAndInAGroup) {
  const int64_t head_dim = 64, n_keys = 75, n_heads = 7;
  const auto pages = fill_pages(store(), type(), head_dim, n_keys);
  const std::vector<const std::byte*> page_pointers = pointers_to(pages);
  const std::vector<float> q = random_values(n_heads * head_dim, 34);
  std::vector<float> together(q.size()), alone(q.size());
  AttentionKernelArgs args{.q = q.data(),
                           .out = together.data(),
                           .n_heads = n_heads,
                           .head_dim = head_dim,
                           .scale = 0.125F,
                           .pages = page_pointers,
                           .n_keys = n_keys,
                           .type = type()};
  variant().run(args);
  args.n_heads = 1;
  for (int64_t h = 0; h < n_heads; ++h) {
    args.q = q.data() + h * head_dim;
    args.out = alone.data() + h * head_dim;
    variant().run(args);
  }
  EXPECT_EQ(together, alone);
}

TEST_P(EveryAttentionVariant, GivesATokenTheSameBitsAloneAndWithThoseThatFollow) {
  const int64_t head_dim = 64, most_keys = 80, q_stride = 8 * head_dim + 16, out_stride = 8 * head_dim;
  // What the last token sees is there; what none of them sees holds NaN.
  const auto pages = fill_pages(store(), type(), head_dim, most_keys);
  const std::vector<const std::byte*> page_pointers = pointers_to(pages);
  const std::vector<float> q = random_values(8 * q_stride, 36), sinks = random_values(8, 37);
  for (const auto& [n_tokens, n_heads] : {std::pair{8, 1}, {4, 2}, {2, 3}, {2, 4}, {3, 2}, {5, 1}}) {
    // Around the ends of pages, so that a page is seen by all, by some in part, and by the last ones alone.
    for (const int64_t n_keys : {1, 30, 32, 33, 61, 64, 73}) {
      std::vector<float> together(static_cast<size_t>(8 * out_stride)), alone(together);
      AttentionKernelArgs args{.q = q.data(),
                               .out = together.data(),
                               .n_heads = n_heads,
                               .n_tokens = std::min<int64_t>(n_tokens, most_keys + 1 - n_keys),
                               .q_stride = q_stride,
                               .out_stride = out_stride,
                               .head_dim = head_dim,
                               .scale = 0.125F,
                               .pages = page_pointers,
                               .n_keys = n_keys,
                               .sinks = sinks.data(),
                               .type = type()};
      variant().run(args);
      const int64_t n_together = args.n_tokens;
      args.n_tokens = 1;
      args.out = alone.data();
      for (int64_t t = 0; t < n_together; ++t) {
        variant().run(args);
        args.q += q_stride;
        args.out += out_stride;
        ++args.n_keys;
      }
      EXPECT_EQ(together, alone) << n_together << " tokens of " << n_heads << " heads, from " << n_keys;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Table, EveryAttentionVariant,
                         testing::Combine(testing::Range(size_t{0}, attention_variants().size()),
                                          testing::Values(KvType::kF16, KvType::kF32)),
                         [](const auto& param) {
                           return std::string(attention_variants()[std::get<0>(param.param)].name) +
                                  (std::get<1>(param.param) == KvType::kF16 ? "_f16" : "_f32");
                         });

}  // namespace
}  // namespace halod
