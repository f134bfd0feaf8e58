import type { ChaosFault } from '../model/chaos.ts'
import type { PoolName, ReplicaName, TaskId } from '../model/ids.ts'
import type { Json } from '../model/json.ts'

/** What every command takes. */
export interface Common {
  /** One object on standard output (one a line for streams), and nothing else there. */
  readonly json: boolean
  readonly config?: string
  readonly url?: string
  readonly token?: string
}

export interface Init extends Common {
  readonly name: 'init'
  readonly agent: 'typescript' | 'python' | 'command'
}

export interface Up extends Common {
  readonly name: 'up'
  /** Lets faults be injected. */
  readonly chaos: boolean
}

export interface Demo extends Common {
  readonly name: 'demo'
  readonly once: boolean
  readonly port: number
}

export interface Submit extends Common {
  readonly name: 'submit'
  readonly pool: PoolName
  /** JSON as text, or `-` for standard input. */
  readonly input: string
  readonly wait: boolean
  readonly priority?: number
  readonly delayMs?: number
  readonly deadlineMs?: number
  readonly key?: string
}

export interface Status extends Common {
  readonly name: 'status'
}

export interface Agents extends Common {
  readonly name: 'agents'
  readonly pool?: PoolName
}

export interface Tasks extends Common {
  readonly name: 'tasks'
  readonly id?: TaskId
  readonly pool?: PoolName
  readonly status?: string
  readonly limit: number
}

export interface Incidents extends Common {
  readonly name: 'incidents'
  readonly id?: string
  readonly open: boolean
  readonly follow: boolean
  readonly limit: number
}

export interface Why extends Common {
  readonly name: 'why'
  /** A replica, a task, an incident; without one, the last incident. */
  readonly subject?: string
}

export interface Logs extends Common {
  readonly name: 'logs'
  readonly replica: ReplicaName
}

export interface Replay extends Common {
  readonly name: 'replay'
  readonly file: string
  /** Whose detectors judge, of the configuration. */
  readonly pool?: PoolName
  /** Flags a run at the nudging level, not only where it would have been acted on. */
  readonly nudge: boolean
  readonly leaveOneOut: boolean
}

export interface Chaos extends Common {
  readonly name: 'chaos'
  /** Null: say which there are. */
  readonly fault: ChaosFault | 'all' | null
  readonly pool?: PoolName
  readonly replica?: ReplicaName
  readonly dependency?: string
  readonly forMs?: number
  /** Of the tasks that it submits, JSON as text; without it there must be others. */
  readonly input?: string
  readonly reason?: string
}

/** An operator's action: who and why stand in the ledger. */
export interface Operate extends Common {
  readonly name: 'operate'
  readonly verb:
    | 'restart'
    | 'drain'
    | 'quarantine'
    | 'release'
    | 'hold'
    | 'resume'
    | 'scale'
    | 'cancel'
    | 'retry'
    | 'resolve'
  readonly target: ReplicaName | PoolName | TaskId
  /** The request's body, the reason included where one was given. */
  readonly body: { readonly [key: string]: Json }
}

/** One command line, checked. */
export type Command =
  | Init
  | Up
  | Demo
  | Submit
  | Status
  | Agents
  | Tasks
  | Incidents
  | Why
  | Logs
  | Replay
  | Chaos
  | Operate
