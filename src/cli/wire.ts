import type { ChaosFault } from '../model/chaos.ts'
import type { Culprit, FaultKind } from '../model/fault.ts'
import type { Json } from '../model/json.ts'
import type { TaskStatus } from '../model/task.ts'

/* What the API answers: src/http/render.ts makes these. Times are ISO 8601. */

export interface WireTask {
  readonly id: string
  readonly pool: string
  readonly status: TaskStatus
  readonly input: Json
  readonly submittedAt: string
  readonly finishedAt: string | null
  readonly attempts: readonly {
    readonly replica: string
    readonly incarnation: number
    readonly startedAt: string
    readonly endedAt: string | null
    readonly outcome: string | null
  }[]
  readonly spent: { readonly tokens: number; readonly usd: number; readonly calls: number; readonly timeMs: number }
  readonly output?: Json
  readonly error?: { readonly name: string; readonly message: string }
  readonly reason?: string
  readonly steps: readonly { readonly name: string; readonly key: string; readonly state: string }[]
}

export interface WireIncident {
  readonly id: string
  readonly pool: string
  readonly replica: string | null
  readonly task: string | null
  readonly status: string
  readonly fault: { readonly kind: FaultKind; readonly culprit: Culprit; readonly evidence: readonly string[] }
  readonly detectedAt: string
  readonly recoveredAt: string | null
  readonly detectionMs: number
  readonly recoveryMs: number | null
  readonly actions: readonly { readonly kind: string; readonly replica: string | null; readonly at: string }[]
  readonly timeline: readonly { readonly at: string; readonly kind: string; readonly text: string }[]
}

export interface WirePool {
  readonly name: string
  readonly status: string
  readonly wanted: number
  readonly min: number
  readonly max: number
  readonly active: number
  readonly phases: { readonly [phase: string]: number }
  readonly depth: {
    readonly queued: number
    readonly scheduled: number
    readonly held: number
    readonly leased: number
  }
  readonly hold: { readonly reason: string } | null
}

export interface WireReplica {
  readonly name: string
  readonly phase: string
  readonly incarnation: number
  readonly pid: number | null
  readonly ready: boolean
  readonly pulseAgeMs: number | null
  readonly strikes: number
  readonly memoryBytes: number | null
  readonly incident: string | null
  readonly tasks: readonly { readonly id: string; readonly runningMs: number; readonly doing: string | null }[]
}

export interface WireDependency {
  readonly name: string
  readonly role: string
  readonly critical: boolean
  readonly up: boolean | null
  readonly reason: string | null
  readonly latencyMs: number | null
}

export interface WireNode {
  readonly startedAt: string
  readonly lagMs: number
  readonly shuttingDown: boolean
  readonly blindSpots: readonly string[]
}

export interface WireInjection {
  readonly id: string
  readonly fault: ChaosFault
  readonly pool: string
  readonly replica: string | null
  readonly at: string
  readonly forMs: number | null
  readonly strikes: readonly {
    readonly at: string
    readonly replica: string | null
    readonly task: string | null
  }[]
}
