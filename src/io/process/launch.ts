import type { Writable } from 'node:stream'
import { limits } from '../../model/limits.ts'
import { stripControls } from '../../model/redact.ts'
import type { Launch, LaunchEvents, Launched, Launcher } from '../../port/launcher.ts'
import { Child, type ChildExit } from './child.ts'
import type { Machine } from './machine.ts'

/** SIGTERM to SIGKILL, ms. Nothing that is launched here has work to lose. */
const graceMs = 500

/** Runs commands that are no replicas, with everything that keeps a replica apart from us. */
export class Launches implements Launcher {
  readonly #machine: Machine
  readonly #running = new Set<Launched>()
  #count = 0

  constructor(machine: Machine) {
    this.#machine = machine
  }

  launch({ name, command, environment }: Launch, events: LaunchEvents): Launched {
    this.#count += 1
    let stdin: Writable | null = null
    let early = ''
    let isOver = false
    const over = (how: string): void => {
      isOver = true
      events.ended(how)
    }
    const plan = {
      // No replica is called so: `@` is in no name.
      name: `@${name}.${this.#count}`,
      pool: {
        name: `check ${name}`,
        agent: { kind: 'command', command, protocol: 'none' },
        environment,
        memoryBytes: null,
        processLimit: limits.launchedProcesses,
      },
      channel: false,
    } as const
    const child = new Child(this.#machine, plan, {
      running: (process) => {
        stdin = process.stdin
        if (early !== '') stdin?.write(early)
      },
      failed: ({ message }) => over(message),
      stdout: (chunk) => {
        if (!isOver) events.output(chunk)
      },
      line: () => undefined, // Its last words stand in `ended`.
      draining: () => undefined,
      exited: (exit) => over(wordsOf(exit)),
      unkillable: () => undefined, // Its owner waits for `swept`, and starts no other one meanwhile.
    })
    const launched: Launched = {
      write: (text) => {
        if (stdin === null) early += text
        else if (!isOver) stdin.write(text)
      },
      end: () => {
        stdin?.end()
        child.terminate(graceMs)
        return child.swept
      },
    }
    this.#running.add(launched)
    void child.swept.then(() => this.#running.delete(launched))
    return launched
  }

  async close(): Promise<void> {
    await Promise.all([...this.#running].map((launched) => launched.end()))
  }
}

function wordsOf({ code, signal, stderrTail }: ChildExit): string {
  const how = signal === null ? `it ended with exit code ${code}` : `it ended by ${signal}`
  const words = stderrTail
    .trim()
    .split(/\s*\n\s*/)
    .map(stripControls)
    .join(' ')
  return words === '' ? how : `${how}: ${words}`
}
