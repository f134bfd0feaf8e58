import { stepIdempotencyKey, type TaskId } from '../../src/model/ids.ts'
import type { ProcessName, Trace } from './trace.ts'

/** The effect of one finished step on the world outside. */
export interface Post extends ProcessName {
  readonly taskId: TaskId
  readonly name: string
  readonly key: string
  readonly fence: number
}

export type SinkVerdict = 'accepted' | 'old_fence' | 'repeated_key'

/** A careful receiver: refuses a fence below the highest it saw of that task, and a key it has already. */
export class Sink {
  private readonly trace: Trace
  private readonly fences = new Map<TaskId, number>()
  private readonly keys = new Set<string>()
  readonly counts: Record<SinkVerdict, number> = { accepted: 0, old_fence: 0, repeated_key: 0 }

  constructor(trace: Trace) {
    this.trace = trace
  }

  post(post: Post): void {
    const verdict = this.judge(post)
    this.counts[verdict] += 1
    this.trace.note({ kind: 'post', post, verdict })
  }

  has(taskId: TaskId, name: string, key: string): boolean {
    return this.keys.has(stepIdempotencyKey(taskId, name, key))
  }

  private judge(post: Post): SinkVerdict {
    if (post.fence < (this.fences.get(post.taskId) ?? 0)) return 'old_fence'
    this.fences.set(post.taskId, post.fence)
    const key = stepIdempotencyKey(post.taskId, post.name, post.key)
    if (this.keys.has(key)) return 'repeated_key'
    this.keys.add(key)
    return 'accepted'
  }
}
