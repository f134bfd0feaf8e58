export { BudgetExceededError, DependencyError, PrunellaError, StaleFenceError } from '../model/errors.ts'
export type { Json } from '../model/json.ts'
export type { ModelFailure } from '../model/observation.ts'
export type { Allowance } from '../model/spent.ts'
export type { PreviousAttempt, RepeatWord } from '../model/task.ts'
export type {
  AgentDefinition,
  AgentLog,
  Call,
  CallOptions,
  Context,
  ModelCall,
  ReplicaContext,
  ReplicaIdentity,
  Task,
  ToolOptions,
  Waiting,
  WaitOptions,
} from './definition.ts'
export { defineAgent } from './definition.ts'
