import { defineConfig } from 'prunella'

// The agent's server is a process of each replica. What they share is how it is started, and that is checked.
const mcp = { command: [process.execPath, 'servers/library.ts'] }

export default defineConfig({
  dependencies: {
    search: { check: { mcp, tool: 'search' } },
    read: { check: { mcp, tool: 'read' }, critical: true },
  },
  pools: {
    // No task can do without `read`. Those that search say so: prunella submit librarian '{"word":"heal"}' --needs search
    librarian: { agent: './agents/librarian.ts', replicas: { min: 2, max: 2 }, dependsOn: ['read'] },
  },
})
