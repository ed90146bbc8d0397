#include "runtime/backend/hip/hip_backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/machine/gpu.h"
#include "kernels/hip/weight_layout.h"
#include "runtime/backend/hip/hip_kv.h"
#include "runtime/backend/hip/kernel_checks.h"
#include "runtime/backend/hip/rounding.h"

namespace halod::hip {
namespace {

static_assert(kKvPageTokens == kPageTokens);

/// Of rows in another order nobody reads the 8-bit form.
bool needs_codes_of_input(const HipWeight& weight) {
  return weight.needs_codes() && weight.column_order() == nullptr;
}

int64_t padded_rows(int64_t n_rows) { return divided_up(n_rows, kMaxLinearTokens) * kMaxLinearTokens; }

}  // namespace

Result<std::unique_ptr<Backend>> HipBackend::open(std::unique_ptr<Device> device, int n_threads) {
  if (auto tested = self_test(*device); !tested) return tested.error();
  return open_untested(std::move(device), n_threads);
}

std::unique_ptr<Backend> HipBackend::open_untested(std::unique_ptr<Device> device, int n_threads) {
  return std::unique_ptr<Backend>(new HipBackend(std::move(device), n_threads));
}

HipBackend::HipBackend(std::unique_ptr<Device> device, int n_threads)
    : device_(std::move(device)),
      threads_(n_threads),
      uploader_(*device_, threads_),
      tuner_(*device_),
      inputs_(*device_),
      partials_(*device_),
      counters_(*device_, true),
      router_logits_(*device_),
      chosen_(*device_),
      hidden_(*device_),
      expert_results_(*device_),
      groups_(*device_),
      logits_(*device_),
      best_(*device_),
      shared_hidden_(*device_),
      shared_results_(*device_),
      shared_weights_(*device_),
      latent_(*device_),
      latent_sum_(*device_),
      ordered_{Scratch(*device_), Scratch(*device_), Scratch(*device_), Scratch(*device_)} {}

HipBackend::~HipBackend() = default;

std::string HipBackend::device_name() const {
  const DeviceInfo& info = device_->info();
  if (info.n_compute_units == 0) return fmt::format("{} ({})", info.name, info.target);
  return fmt::format("{} ({}, {} multiprocessors)", info.name, info.target, info.n_compute_units);
}

// -- memory

unsigned char* HipBackend::Scratch::at_least(int64_t n_bytes) {
  if (static_cast<uint64_t>(n_bytes) <= memory_.size()) return memory_.data();
  device_.synchronize();  // the old memory may still be in use
  memory_ = {};
  auto larger = DeviceMemory::allocate(device_, static_cast<uint64_t>(aligned_bytes(n_bytes)));
  if (!larger) throw DeviceError(larger.error().message);
  memory_ = std::move(*larger);
  if (is_zeroed_) device_.fill_with_zeros(memory_.data(), memory_.size());
  return memory_.data();
}

Result<std::unique_ptr<PlacedWeight>> HipBackend::place_weight(
    const Checkpoint& file, const TensorInfo& tensor, const std::function<void(uint64_t)>& on_bytes) {
  auto placed = uploader_.place(file, tensor, on_bytes);
  if (placed) static_cast<HipWeight&>(**placed).set_choice(tuner_.choice(file, tensor));
  return placed;
}

Result<std::unique_ptr<PlacedVector>> HipBackend::place_vector(std::span<const float> values) {
  return uploader_.place(values);
}

uint64_t HipBackend::kv_page_bytes(const KvShape& shape) const {
  return static_cast<uint64_t>(shape.n_layers * shape.n_kv_heads * kv_head_page_bytes(shape.head_dim));
}

Result<std::unique_ptr<KvStorage>> HipBackend::allocate_kv(const KvShape& shape, int64_t n_pages) {
  if (shape.head_dim % 16 != 0 || shape.head_dim > kMaxHeadDim) {
    return Error{
        ErrorCode::kUnsupported,
        fmt::format(
            "heads of {} values: the GPU's attention takes multiples of 16 up to {}; use `backend: cpu`",
            shape.head_dim, kMaxHeadDim)};
  }
  const int64_t layer_bytes = n_pages * shape.n_kv_heads * kv_head_page_bytes(shape.head_dim);
  auto memory = DeviceMemory::allocate(*device_, static_cast<uint64_t>(layer_bytes * shape.n_layers));
  if (!memory) return memory.error();
  device_->fill_with_zeros(memory->data(), memory->size());
  uploader_.release();  // the weights are there when a model asks for its cache
  return std::unique_ptr<KvStorage>(std::make_unique<HipKvStorage>(std::move(*memory), layer_bytes));
}

Result<MatrixView<float>> HipBackend::allocate_activations(int64_t rows, int64_t cols) {
  const int64_t n = padded_rows(rows) * cols;
  const int64_t codes_at = aligned_bytes(n * 4), groups_at = codes_at + aligned_bytes(n);
  auto memory = DeviceMemory::allocate(
      *device_, static_cast<uint64_t>(groups_at + aligned_bytes(n / kGroupColumns * 8 + 8)));
  if (!memory) return memory.error();
  auto activation = std::make_unique<Activation>();
  activation->rows = rows;
  activation->cols = cols;
  activation->device = {memory->as<float>(), memory->as<int8_t>(static_cast<uint64_t>(codes_at)),
                        memory->as<ActivationGroup>(static_cast<uint64_t>(groups_at))};
  const MatrixView<float> view(memory->as<float>(), rows, cols);
  activation->memory = std::move(*memory);
  activations_.push_back(std::move(activation));
  return view;
}

uint64_t HipBackend::scratch_bytes() const {
  uint64_t total = 0;
  for (const auto& activation : activations_) total += activation->memory.size();
  for (const Scratch* scratch :
       {&inputs_, &partials_, &counters_, &router_logits_, &chosen_, &hidden_, &expert_results_, &groups_,
        &logits_, &best_, &shared_hidden_, &shared_results_, &shared_weights_, &latent_, &latent_sum_})
    total += scratch->bytes();
  for (const Scratch& scratch : ordered_) total += scratch.bytes();
  return total;
}

bool HipBackend::takes_format(Format format) const { return find_row_layout(format) != nullptr; }

bool HipBackend::supports(ModelFeature feature) const {
  // One by one, so that a new one is not promised before its kernels are there.
  switch (feature) {
    case ModelFeature::kNeighbourRope:
    case ModelFeature::kBias:
    case ModelFeature::kRouterGating:
    case ModelFeature::kExpertBias:
    case ModelFeature::kExpertActivation:
    case ModelFeature::kSlidingWindow:
    case ModelFeature::kAttentionSinks:
    case ModelFeature::kSelectionBias:
    case ModelFeature::kPartialRope:
    case ModelFeature::kGatedAttention:
    case ModelFeature::kSharedExpert:
    case ModelFeature::kFusedExperts:
    case ModelFeature::kRecurrentState:
    case ModelFeature::kMamba2:
    case ModelFeature::kUngatedFfn:
    case ModelFeature::kLatentExperts:
    case ModelFeature::kColumnOrder:
      return true;
  }
  return false;
}

uint64_t HipBackend::available_bytes() const {
  // From sysfs: the runtime's own count leaves out what a GPU without memory of its own may map of the
  // machine's.
  for (const Gpu& gpu : read_gpus("/")) {
    if (gpu.gfx_target != device_->info().target || !gpu.vram_total_bytes || !gpu.gtt_total_bytes) continue;
    return *gpu.vram_total_bytes - gpu.vram_used_bytes.value_or(0) + *gpu.gtt_total_bytes -
           gpu.gtt_used_bytes.value_or(0);
  }
  return Backend::available_bytes();
}

// -- activations and their 8-bit form

HipBackend::ActivationSlice HipBackend::find(MatrixView<const float> x) {
  for (const auto& activation : activations_) {
    const int64_t offset = x.data - activation->device.values;
    if (x.data < activation->device.values || offset >= activation->rows * activation->cols) continue;
    HALOD_ASSERT(x.cols <= activation->cols && offset % x.cols == 0);
    return {activation.get(), offset / x.cols, x.rows};
  }
  HALOD_ASSERT(!"activations that this backend did not allocate");
  return {};
}

ActivationRows HipBackend::read(MatrixView<const float> x, bool needs_codes) {
  HALOD_ASSERT(x.row_stride == x.cols);
  const ActivationSlice slice = find(x);
  Activation& matrix = *slice.matrix;
  const ActivationRows rows{x.data, matrix.device.codes + slice.first_row * x.cols,
                            matrix.device.groups + slice.first_row * (x.cols / kGroupColumns)};
  const bool has_codes = x.cols == matrix.coded_cols && slice.first_row >= matrix.first_coded_row &&
                         slice.first_row + slice.n_rows <= matrix.first_coded_row + matrix.n_coded_rows;
  if (needs_codes && !has_codes) {
    float* values = matrix.device.values + slice.first_row * x.cols;
    const ActivationResult result = write({values, x.rows, x.cols}, true);
    launch_rms_norm(values, nullptr, 0, x.rows, x.cols, result);
  }
  return rows;
}

ActivationResult HipBackend::write(MatrixView<float> y, bool with_codes) {
  HALOD_ASSERT(y.row_stride == y.cols);
  const ActivationSlice slice = find(y);
  Activation& matrix = *slice.matrix;
  with_codes = with_codes && y.cols % kGroupColumns == 0;
  matrix.first_coded_row = slice.first_row;
  matrix.n_coded_rows = with_codes ? y.rows : 0;
  matrix.coded_cols = y.cols;
  const int64_t offset = slice.first_row * y.cols;
  return {y.data, with_codes ? matrix.device.codes + offset : nullptr,
          matrix.device.groups + offset / kGroupColumns};
}

// -- operations

void HipBackend::begin_step(const StepInputs& inputs) {
  const auto n_rows = static_cast<int64_t>(inputs.tokens.size());
  const auto n_frequencies = static_cast<int64_t>(inputs.inverse_frequencies.size());
  size_t n_pages = 0;
  for (const AttentionSequence& sequence : inputs.sequences) n_pages += sequence.pages.size();
  AttentionPlan plan = plan_attention(inputs.sequences);
  int64_t n_bytes = 0;
  const auto place = [&](size_t n, size_t item_bytes) {
    const int64_t at = n_bytes;
    n_bytes += aligned_bytes(static_cast<int64_t>(n * item_bytes));
    return at;
  };
  const size_t n_tokens = inputs.tokens.size();
  place(n_tokens, sizeof(TokenId));
  const int64_t rows_at = place(n_tokens, sizeof(StepRow)),
                logit_rows_at = place(inputs.logit_rows.size(), sizeof(int32_t)),
                rope_at = place(n_tokens * 2 * inputs.inverse_frequencies.size(), sizeof(float)),
                row_ids_at = place(plan.rows.size(), sizeof(int32_t)),
                sequences_at = place(inputs.sequences.size(), sizeof(StateSequence));
  std::array<int64_t, std::tuple_size_v<decltype(plan.tiles)>> tiles_at = {};
  for (size_t i = 0; i < tiles_at.size(); ++i)
    tiles_at[i] = place(plan.tiles[i].size(), sizeof(AttentionTile));
  // Last, because their number changes from token to token and all else in a decode step keeps its place.
  const int64_t pages_at = place(n_pages, sizeof(uint32_t));
  if (input_staging_.size() < static_cast<uint64_t>(n_bytes)) {
    auto larger = PinnedMemory::allocate(*device_, static_cast<uint64_t>(n_bytes));
    if (!larger) throw DeviceError(larger.error().message);
    input_staging_ = std::move(*larger);
  }
  // The step before has ended, so its copy is done.
  std::byte* staging = input_staging_.data();
  std::memcpy(staging, inputs.tokens.data(), inputs.tokens.size_bytes());
  auto* rows = reinterpret_cast<StepRow*>(staging + rows_at);
  auto* pages = reinterpret_cast<uint32_t*>(staging + pages_at);
  auto* rope = reinterpret_cast<float*>(staging + rope_at);
  // Of a part of a prompt nobody wants logits, and memcpy takes no null pointer.
  if (!inputs.logit_rows.empty())
    std::memcpy(staging + logit_rows_at, inputs.logit_rows.data(), inputs.logit_rows.size_bytes());
  if (!plan.rows.empty()) std::memcpy(staging + row_ids_at, plan.rows.data(), plan.rows.size() * 4);
  for (size_t i = 0; i < tiles_at.size(); ++i) {
    if (!plan.tiles[i].empty())
      std::memcpy(staging + tiles_at[i], plan.tiles[i].data(), plan.tiles[i].size() * sizeof(AttentionTile));
  }
  step_.longest = step_.most_rows = 0;
  int32_t first_page = 0, first_row = 0;
  auto* sequences = reinterpret_cast<StateSequence*>(staging + sequences_at);
  for (const AttentionSequence& sequence : inputs.sequences) {
    *sequences++ = {first_row, sequence.n_new, sequence.n_past, sequence.state_slot};
    first_row += sequence.n_new;
    step_.most_rows = std::max(step_.most_rows, sequence.n_new);
    for (int32_t i = 0; i < sequence.n_new; ++i) {
      const int32_t position = sequence.n_past + i;
      *rows++ = {position, first_page};
      for (int64_t f = 0; f < n_frequencies; ++f) {
        // In double: at position 100,000 an f32 angle is off by up to 0.004 rad.
        const double angle = static_cast<double>(position) *
                             static_cast<double>(inputs.inverse_frequencies[static_cast<size_t>(f)]);
        const auto magnitude = static_cast<double>(inputs.rope_magnitude);
        rope[f] = static_cast<float>(magnitude * std::cos(angle));
        rope[n_frequencies + f] = static_cast<float>(magnitude * std::sin(angle));
      }
      rope += 2 * n_frequencies;
      step_.longest = std::max(step_.longest, position + 1);
    }
    for (const PageId page : sequence.pages) pages[first_page++] = to_int(page);
  }
  unsigned char* device = inputs_.at_least(n_bytes);
  device_->copy_to_device(device, staging, static_cast<uint64_t>(n_bytes));
  step_.n_rows = n_rows;
  step_.tokens = reinterpret_cast<const int32_t*>(device);
  step_.rows = reinterpret_cast<const StepRow*>(device + rows_at);
  step_.pages = reinterpret_cast<const uint32_t*>(device + pages_at);
  step_.logit_rows = reinterpret_cast<const int32_t*>(device + logit_rows_at);
  step_.rope = reinterpret_cast<const float*>(device + rope_at);
  step_.n_rotated = static_cast<int32_t>(2 * n_frequencies);
  step_.row_ids = reinterpret_cast<const int32_t*>(device + row_ids_at);
  step_.sequences = reinterpret_cast<const StateSequence*>(device + sequences_at);
  step_.n_sequences = static_cast<int64_t>(inputs.sequences.size());
  for (size_t i = 0; i < tiles_at.size(); ++i)
    step_.tiles[i] = reinterpret_cast<const AttentionTile*>(device + tiles_at[i]);
  step_.plan = std::move(plan);
}

void HipBackend::embed(const PlacedWeight& embedding, MatrixView<float> out) {
  write(out, false);
  launch(*device_, KernelId::embed, {.x = step_.n_rows}, 0,
         EmbedArgs{hip_weight(embedding).device_rows(), step_.tokens, out.data,
                   hip_weight(embedding).column_order()});
}

void HipBackend::gather_logit_rows(MatrixView<const float> x, MatrixView<float> out) {
  write(out, false);
  launch(*device_, KernelId::gather, {.x = out.rows}, 0,
         GatherArgs{
             .x = x.data, .rows = step_.logit_rows, .cols = static_cast<int32_t>(x.cols), .out = out.data});
}

void HipBackend::launch_rms_norm(const float* x, const float* weight, float epsilon, int64_t n_rows,
                                 int64_t cols, const ActivationResult& y) {
  launch(*device_, KernelId::rms_norm, {.x = n_rows}, rms_norm_shared_bytes(),
         RmsNormArgs{x, weight, epsilon, static_cast<int32_t>(cols), y});
}

void HipBackend::rms_norm(MatrixView<const float> x, const PlacedVector& weight, float epsilon,
                          MatrixView<float> out) {
  launch_rms_norm(x.data, hip_vector(weight), epsilon, x.rows, x.cols, write(out, true));
}

void HipBackend::launch_linear(const ActivationRows& x, int64_t cols, int64_t first_row, int n_tokens,
                               const LinearJob& job) {
  LinearArgs args{.n_matrices = static_cast<int32_t>(job.weights.size()),
                  .n_tokens = n_tokens,
                  .add = job.add ? 1 : 0,
                  .x = {x.values + first_row * cols, x.codes + first_row * cols,
                        x.groups + first_row * (cols / kGroupColumns)},
                  .bias = hip_vector(job.bias)};
  for (size_t m = 0; m < job.weights.size(); ++m) {
    args.weights[m] = hip_weight(*job.weights[m]).device_rows();
    args.y[m] = job.outs[m].row_data(first_row);
    args.first_tile[m + 1] =
        args.first_tile[m] + static_cast<int32_t>(divided_up(args.weights[m].rows, kLinearTileRows));
  }
  launch(*device_, linear_kernel(n_tokens), {.x = args.first_tile[args.n_matrices]}, 0, args);
}

void HipBackend::multiply_in_order(const ActivationRows& x, int64_t n_rows, const LinearJob& job) {
  if (prefers_tiles(n_rows, largest(job.weights), true)) return multiply_prompt(x, n_rows, job);
  for (int64_t row = 0; row < n_rows; row += kMaxLinearTokens) {
    launch_linear(x, job.weights[0]->cols(), row,
                  static_cast<int>(std::min<int64_t>(kMaxLinearTokens, n_rows - row)), job);
  }
}

void HipBackend::linear(MatrixView<const float> x, std::span<const PlacedWeight* const> weights,
                        std::span<const MatrixView<float>> outs) {
  const bool needs_codes = std::ranges::any_of(
      weights, [](const PlacedWeight* weight) { return needs_codes_of_input(hip_weight(*weight)); });
  const ActivationRows rows = read(x, needs_codes);
  for (const MatrixView<float>& out : outs) write(out, false);
  multiply(rows, x.rows, {.weights = weights, .outs = outs});
}

void HipBackend::linear_add(MatrixView<const float> x, const PlacedWeight& weight, const PlacedVector* bias,
                            MatrixView<float> residual) {
  const ActivationRows rows = read(x, needs_codes_of_input(hip_weight(weight)));
  write(residual, false);
  const PlacedWeight* weights[] = {&weight};
  multiply(rows, x.rows, {.weights = weights, .outs = {&residual, 1}, .add = true, .bias = bias});
}

void HipBackend::synchronize() { device_->synchronize(); }

std::vector<SelectedKernel> HipBackend::selections() const {
  std::vector<SelectedKernel> all;
  for (const HipTuner::Selected& row : tuner_.selected()) {
    all.push_back({std::string(row.operation), std::string(traits(row.format).name), std::string(row.way),
                   std::string(row.tuning)});
  }
  return all;
}

}  // namespace halod::hip
