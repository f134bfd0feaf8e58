import { type ChildProcess, spawn } from 'node:child_process'

/** Processes that do nothing but use the processor, each in a session of its own as replicas are: the kernel shares by session. */
export class Spinners {
  private readonly running: ChildProcess[] = []

  start(count: number): void {
    for (let at = 0; at < count; at++) {
      this.running.push(spawn('/bin/sh', ['-c', 'while :; do :; done'], { detached: true, stdio: 'ignore' }))
    }
  }

  end(): void {
    for (const spinner of this.running.splice(0)) spinner.kill('SIGKILL')
  }
}
