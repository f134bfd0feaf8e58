export { DependencyError, PrunellaError, StaleFenceError } from '../model/errors.ts'
export type { Json } from '../model/json.ts'
export type { PreviousAttempt, RepeatWord } from '../model/task.ts'
export type {
  AgentDefinition,
  AgentLog,
  Call,
  CallOptions,
  Context,
  ReplicaContext,
  ReplicaIdentity,
  Task,
  ToolOptions,
  Waiting,
} from './definition.ts'
export { defineAgent } from './definition.ts'
