// A device that makes one launch of steps that repeat, by HIP graphs: a decode step of Qwen3-30B-A3B is 389
// launches otherwise.
//
// It keeps launches back until something else is asked of it (a copy, waiting) and looks whether it has had
// the same ones before, to the last byte of their arguments. What changes from token to token (positions,
// pages, tokens) lies in device memory, at places that do not change, so a decode step is the same launches
// until its batch changes or its keys fill the next power of two of splits. Where bytes differ that mean
// nothing (a struct's padding), launches are made one by one, which is slower and right.
#pragma once

#include <memory>

#include "runtime/backend/hip/device.h"

namespace halod::hip {

/// Launches are made as they come in where `device` makes no graphs.
std::unique_ptr<Device> make_graph_device(std::unique_ptr<Device> device);

}  // namespace halod::hip
