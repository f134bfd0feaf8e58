import type { Route } from '../route.ts'
import { chaosRoutes } from './chaos.ts'
import { incidentRoutes } from './incidents.ts'
import { nodeRoutes } from './node.ts'
import { poolRoutes } from './pools.ts'
import { taskRoutes } from './tasks.ts'

/** The whole API, except for the probes (health.ts) and the page (page.ts), which need no token. */
export function createRoutes(): readonly Route[] {
  const routes: readonly Route[] = [
    ...poolRoutes,
    ...taskRoutes(),
    ...incidentRoutes,
    ...chaosRoutes,
    ...nodeRoutes(() => routes),
  ]
  return routes
}
