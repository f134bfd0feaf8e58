import type { Init } from './command.ts'

interface Template {
  /** The pool's `agent`, as source text. */
  readonly agent: string
  readonly file: string
  readonly text: string
}

export const ignoreTemplate = 'node_modules/\n.prunella/\n'

export function configTemplate(agent: string): string {
  return `import { defineConfig } from 'prunella'

export default defineConfig({
  http: { host: '127.0.0.1', port: 8080 },
  pools: {
    hello: {
      agent: ${agent},
      replicas: { min: 2, max: 2 },
    },
  },
})
`
}

const typescript = `import { defineAgent } from 'prunella/agent'

interface Input {
  readonly name: string
}

export default defineAgent<Input, { greeting: string }>({
  run: async (task, ctx) => {
    // A step's result is kept: when this process dies, the next one goes on after it.
    const greeting = await ctx.step('greet', () => \`Hello, \${task.input.name}!\`)
    ctx.log.info(\`greeted \${task.input.name}\`)
    return { greeting }
  },
})
`

const python = `from prunella import run


def handle(task):
    # A step's result is kept: when this process dies, the next one goes on after it.
    greeting = task.step("greet", lambda call: "Hello, " + task.input["name"] + "!")
    task.log("greeted " + task.input["name"])
    return {"greeting": greeting}


run(handle)
`

const shell = `#!/bin/sh
# One process a task: the input comes as JSON on standard input,
# and what is printed is the result. Another exit code than 0 is a failure.
printf '{"greeting":"Hello!","input":%s}\\n' "$(cat)"
`

export const templates: Readonly<Record<Init['agent'], Template>> = {
  typescript: { agent: `'./agents/hello.ts'`, file: 'agents/hello.ts', text: typescript },
  python: { agent: `{ command: ['python3', './agents/hello.py'] }`, file: 'agents/hello.py', text: python },
  command: {
    agent: `{ command: ['sh', './agents/hello.sh'], protocol: 'none' }`,
    file: 'agents/hello.sh',
    text: shell,
  },
}
