// tokenizer.json of Llama 2, TinyLlama, Mistral: SentencePiece's byte-pair encoding, written as merges.
#pragma once

#include <string>
#include <vector>

#include "runtime/weights/hf/json_file.h"
#include "runtime/weights/tokenizer_data.h"

namespace halod {

/// Whether the file is of that kind; else it may be byte-level BPE.
bool is_hf_sentence_piece(const JsonObject& tokenizer);

/// Where text gets a space in front.
struct HfSpacePrefix {
  bool at_beginning = false;
  bool behind_special = false;
};
/// Reads normalizer and pre_tokenizer, which must do nothing but write spaces as "▁" and put one in front.
/// Throws ErrorException: kUnsupported naming the key for everything else.
HfSpacePrefix read_hf_space_prefix(const JsonObject& tokenizer);

/// Scores of the pieces out of the merges, so that merging the pair whose piece has the best score is merging
/// by the order of the merges. That is so where all merges of a piece follow each other, and are all its ways
/// to fall into two pieces, as converters of SentencePiece's models write them. Throws ErrorException:
/// kUnsupported naming a merge where it is not; kCorruptFile for merges of what is no piece. `merges` are
/// "left right".
std::vector<double> hf_scores_of_merges(const JsonObject& model, const std::vector<std::string>& merges,
                                        const std::vector<std::string>& tokens,
                                        const std::vector<TokenType>& types);

/// "<0x0A>".
bool is_hf_byte_token(std::string_view text);

}  // namespace halod
