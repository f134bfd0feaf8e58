import type { CallStart, ModelFailure, ResultPrint } from '../../model/observation.ts'
import type { RateWords } from '../../policy/gate/gate.ts'

/** What of a provider's interface a call uses. `other` passes unread. */
export type Endpoint = 'chat' | 'responses' | 'messages' | 'embeddings' | 'models' | 'other'

/** A tool call of the conversation that has its result. */
export interface ToolResult {
  readonly callId: string
  readonly name: string
  readonly args: NonNullable<CallStart['args']>
  readonly print: ResultPrint
  readonly ok: boolean
}

export interface RequestFacts {
  readonly model: string | null
  readonly stream: boolean
  /** The same request is to get the same answer: temperature 0, or a seed. */
  readonly isDeterministic: boolean
  /** Estimated, by the length of its texts. */
  readonly promptTokens: number
  /** Of the answer, where the request says so. */
  readonly maxTokens: number | null
  /** Those that came since the model's last answer, in order. */
  readonly toolResults: readonly ToolResult[]
}

/** A tool call that an answer asks for. */
export interface ToolCall {
  readonly callId: string
  readonly name: string
  /** As the model wrote them. */
  readonly args: string
}

/** What an answer took. Prompt tokens are all of them, cached ones included. */
export interface TokenCounts {
  readonly promptTokens: number | null
  readonly completionTokens: number | null
  readonly cachedTokens: number
  readonly cacheWriteTokens: number
}

export interface ResponseFacts extends TokenCounts {
  /** The provider's name for the answer. */
  readonly id: string | null
  readonly model: string | null
  /** The provider did not say what it took: counted by length. */
  readonly isEstimated: boolean
  readonly toolCalls: readonly ToolCall[]
  /** Hash and length of its text; null without any. */
  readonly textHash: string | null
  readonly textLength: number
  /** Why it ended, in the provider's word. */
  readonly finish: string | null
}

/** Why a call has no answer. */
export interface WireFault {
  readonly failure: ModelFailure | 'not_found'
  /** Of the answer that tells the client, HTTP. */
  readonly status: number
  readonly message: string
  readonly retryAfterMs: number | null
  readonly words: readonly RateWords[]
}
