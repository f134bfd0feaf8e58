import type { Json } from '../../src/model/json.ts'
import type { CallKind } from '../../src/model/observation.ts'
import type { RepeatWord } from '../../src/model/task.ts'
import type { Submission } from '../../src/port/node.ts'

/** How a step uses the scenario's dependency. */
export interface DependencyUse {
  /** Said in the call; otherwise only the words of the error tell. */
  readonly declared: boolean
  /** What it does while there is no answer: fails at once, gives up after `timeoutMs` of its own, or hangs until there is one. */
  readonly unanswered: 'fails' | 'gives_up' | 'hangs'
  readonly timeoutMs: number
  /** Calls that the agent itself makes before it lets the failure out. */
  readonly tries: number
}

/** One thing that a scripted task does. */
export interface StepScript {
  readonly name: string
  readonly kind: CallKind
  /** Infinity: its promise never resolves. */
  readonly ms: number
  readonly repeat: RepeatWord
  /** Says `progress` this often meanwhile, or null. */
  readonly progressMs: number | null
  readonly timeoutMs: number | null
  /** Blocks the main thread, as `execSync` does: declared when it is a wait. */
  readonly blocking: boolean
  readonly uses: DependencyUse | null
  /** What the detectors see of a tool call; null: nothing. */
  readonly seen: SeenCall | null
}

export interface SeenCall {
  /** Declared: asking again and again is no loop. */
  readonly poll: boolean
  /** Hashes of what it asks and of what it gets. */
  readonly args: string
  readonly result: string
}

/** What goes astray in an attempt instead of its steps: one call again and again, or a prompt that no window holds. */
export type Habit = 'circles' | 'overflows'

export type Poison = 'crash' | 'out_of_memory' | 'loop' | 'violation'

/** What a task's input says it will do, so that every attempt plays the same piece. */
export interface TaskScript {
  readonly steps: readonly StepScript[]
  /** `run()` rejects in the first so many attempts. */
  readonly failures: number
  /** Ends every process that runs it. */
  readonly poison: Poison | null
  /** In every attempt. */
  readonly habit?: Habit
  /** How it is submitted, where it is one of a scenario's own. */
  readonly how?: Pick<Submission, 'delayMs' | 'needs' | 'priority'>
}

export function toInput(script: TaskScript): Json {
  return script as unknown as Json
}

export function fromInput(input: Json): TaskScript {
  return input as unknown as TaskScript
}

/** What chance has in store for one execution of a step. */
export interface StepFate {
  /** Its promise never resolves. */
  readonly stalls: boolean
  /** It does not look at its signal: it settles only when it is done. */
  readonly ignoresSignal: boolean
  readonly rejects: boolean
  /** Takes so many times as long. */
  readonly slowness: number
}

export type StartFate =
  | { readonly kind: 'ready'; readonly afterMs: number }
  | { readonly kind: 'not_spawned' }
  | { readonly kind: 'setup_failed'; readonly afterMs: number }
  | { readonly kind: 'crashes'; readonly afterMs: number }
  /** `setup` never ends. */
  | { readonly kind: 'hangs' }

/** What chance decides inside processes. After the faults are over it decides for the best. */
export interface Fates {
  readonly poisonWorks: boolean
  start(): StartFate
  step(): StepFate
  /** Frames of a dead process that turn up late. */
  haunts(): boolean
  ignoresTerm(): boolean
  losesResetAnswer(): boolean
  failsReset(): boolean
  smallMs(): number
}
