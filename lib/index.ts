// SPDX-License-Identifier: Apache-2.0
export { type ErrorCode, PagewarpError } from './errors.js';
export { Generation } from './generate/generation.js';
export type { GenerateOptions, TokenSampling } from './generate/options.js';
export type {
  FinishReason,
  GenerateChunk,
  GenerateResult,
  SpeculationStatistics,
  Timings,
  Usage,
} from './generate/result.js';
export type { DrawnLogprob, TokenLogprob } from './generate/sampler.js';
export type { BatchStatistics } from './generate/steprecords.js';
export { type BatchEntry, CacheBatch, type PageTable } from './kv/batch.js';
export { type CacheStatistics, PagedKvCache, type PagedKvCacheOptions } from './kv/cache.js';
export type { CacheDType, KvLayer, StoredCacheDType } from './kv/layer.js';
export { KvSequence } from './kv/sequence.js';
export type { LlamaConfig } from './model/config.js';
export type { DeviceOption } from './model/device.js';
export { type GgufArrayInfo, GgufFile, type GgufTensor } from './model/gguf.js';
export { estimateMemory, type LoadOptions, load, type MemoryOptions } from './model/load.js';
export type { MemoryEstimate } from './model/memory.js';
export { type ChatOptions, LanguageModel } from './model/model.js';
export { TokenSequence } from './model/sequence.js';
export type { LoadProgress } from './model/weights.js';
export { type GatedInput, type GatedOptions, geluMul, siluMul } from './ops/activation.js';
export { type AttentionOptions, attention, type MergeStatesOptions, mergeStates } from './ops/attention.js';
export {
  AttentionPlan,
  type AttentionPlanOptions,
  type AttentionSegment,
  attentionWorkspaceBytes,
  planAttention,
  type SharedPrefix,
} from './ops/attentionplan.js';
export { type CandidateOptions, type CandidateResult, drawCandidates } from './ops/candidates.js';
export { type EmbeddingOptions, embedding, type GatherRowsOptions, gatherRows } from './ops/embedding.js';
export { type KeyBoundsOptions, keyBounds } from './ops/keybounds.js';
export {
  appendKv,
  gatherKv,
  type KvRowsOptions,
  type KvSource,
  type RopeAppendKvOptions,
  ropeAppendKv,
} from './ops/kvcache.js';
export { type LinearOptions, linear } from './ops/linear.js';
export { type RmsNormOptions, rmsNorm } from './ops/norm.js';
export { type RopeOptions, type RopePairing, type RopeTableOptions, rope, ropeTable } from './ops/rope.js';
export {
  type RopeFrequencies,
  type RopeFrequencyOptions,
  type RopeScaling,
  ropeFrequencies,
  ropeFrequencyTensor,
} from './ops/ropefrequencies.js';
export { type ArgmaxOptions, argmax, type SampleOptions, type SampleResult, sample } from './ops/sample.js';
export {
  type PerRequest,
  packSampling,
  type SamplingOptions,
  type SamplingParameters,
  type TokenHistory,
  tokenHistory,
} from './ops/sampling.js';
export { type OpConfigs, type PartialOp, supports } from './ops/supports.js';
export { type CustomMask, type TreeMask, treeMask } from './ops/treemask.js';
export {
  type DraftIndptr,
  type DraftParents,
  type DraftSource,
  type VerifyOptions,
  type VerifyResult,
  type VerifyRule,
  verify,
} from './ops/verify.js';
export { formatOfGgufType, type MatrixFormat, matrixFormats, type RoundingFormat } from './quant/format.js';
export { type BlockOptions, type MatrixBlocks, PackedMatrix, type PackOptions } from './quant/matrix.js';
export { type PerplexityOptions, type PerplexityResult, perplexity } from './quant/perplexity.js';
export {
  type QuantizeOptions,
  type QuantizeProgress,
  type QuantizeResult,
  quantize,
  type TensorReport,
} from './quant/quantize.js';
export { QuantizedRows } from './quant/rows.js';
export { type QuantizedType, quantizedTypes } from './quant/weights.js';
export { type AdaptiveNgramOptions, adaptiveNgrams } from './speculate/adaptivengrams.js';
export { firstOf, merged } from './speculate/compose.js';
export type { Draft, Drafter, DraftOutcome, DraftTarget } from './speculate/drafter.js';
export { type DraftModelOptions, draftModel } from './speculate/draftmodel.js';
export {
  type DraftHeadKind,
  type DraftHeadOptions,
  DraftHeads,
  loadDraftHeads,
} from './speculate/heads/load.js';
export { type LookaheadOptions, lookahead } from './speculate/lookahead.js';
export { type PromptLookupOptions, promptLookup } from './speculate/promptlookup.js';
export { type SelfSpeculationOptions, selfSpeculation } from './speculate/selfspeculation.js';
export { type SuffixLookupOptions, suffixLookup } from './speculate/suffixlookup.js';
export { type TokenRecyclingOptions, tokenRecycling } from './speculate/tokenrecycling.js';
export { type OptimalTreeOptions, optimalTree, type TreeShape, treeOfPaths } from './speculate/tree.js';
export {
  type CpuIsa,
  type CpuOptions,
  type CudaOptions,
  type CudaStatistics,
  Device,
  type DeviceInfo,
} from './tensor/device.js';
export type { DType, FloatDType, TypedArrayOf } from './tensor/dtype.js';
export { bf16ToNumber, f16ToNumber, numberToBf16, numberToF16 } from './tensor/float16.js';
export { philox, uniformF32, uniformF64 } from './tensor/philox.js';
export { CommandList, Event, type ReplayOptions, Stream } from './tensor/stream.js';
export { Tensor } from './tensor/tensor.js';
export type { Detokenizer, DetokenizerOptions } from './tokenizer/detokenizer.js';
export { tokenizerFromGguf } from './tokenizer/gguf.js';
export { type TokenizerConfig, type TokenizerJson, tokenizerFromJson } from './tokenizer/json.js';
export { type ChatMessage, renderChat } from './tokenizer/template.js';
export type { EncodeOptions, Tokenizer } from './tokenizer/tokenizer.js';
