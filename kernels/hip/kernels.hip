// All kernels in one code object per target: one module to load, and functions in one place for the resource
// check.
#include "kernels/hip/attention.hip"
#include "kernels/hip/experts.hip"
#include "kernels/hip/flash_decode.hip"
#include "kernels/hip/groups.hip"
#include "kernels/hip/linear.hip"
#include "kernels/hip/mamba2.hip"
#include "kernels/hip/prompt_attention.hip"
#include "kernels/hip/prompt_linear.hip"
#include "kernels/hip/recurrent.hip"
#include "kernels/hip/rows.hip"
