// The reference kernels: scalar, double precision, obvious, never optimised. The last row of every table.
#pragma once

#include "kernels/ops/activations.h"
#include "kernels/ops/attention.h"
#include "kernels/ops/elementwise.h"
#include "kernels/ops/matmul.h"
#include "kernels/ops/recurrent.h"

namespace halod::reference {

void matmul(const MatmulArgs& args);
void quantize_activations(const QuantizeActivationsArgs& args);
void attention(const AttentionKernelArgs& args);
void kv_store(const KvStoreArgs& args);
void rms_norm(const RmsNormArgs& args);
void rope(const RopeArgs& args);
void swiglu(const SwigluArgs& args);
void sigmoid_gate(const SigmoidGateArgs& args);
void causal_conv(const CausalConvArgs& args);
void delta_rule(const DeltaRuleArgs& args);
void delta_gates(const DeltaGatesArgs& args);
void ssm_scan(const SsmScanArgs& args);
void ssm_gates(const SsmGatesArgs& args);
void clamped_swiglu(const ClampedSwigluArgs& args);
void squared_relu(const SquaredReluArgs& args);
void weighted_sum(const WeightedSumArgs& args);
void router_top_k(const RouterTopKArgs& args);

}  // namespace halod::reference
