import { setTimeout as wait } from 'node:timers/promises'
import { Pool } from 'pg'
import { defineAgent } from 'prunella/agent'

interface Order {
  readonly item: string
}

/**
 * Longer than any query here takes. Without it a server that hangs, or a pool
 * with no connection left, hangs the task until its tool's deadline.
 */
const timeoutMs = Number(process.env['DATABASE_TIMEOUT_MS'] ?? 4_000)
let pool: Pool

/** Books orders: looks up a price, thinks, and writes the order down once. */
export default defineAgent<Order, { readonly total: number }>({
  setup({ replica, log }) {
    pool = new Pool({
      connectionString: process.env['DATABASE_URL'],
      application_name: `${replica.name}#${replica.incarnation}`, // Who it is, in pg_stat_activity.
      max: 2,
      connectionTimeoutMillis: timeoutMs,
      query_timeout: timeoutMs,
    })
    // An idle connection that the server ends would end this process if nobody listened.
    pool.on('error', ({ message }) => log.warn(`a connection was lost: ${message}`))
  },

  checks: { connection: () => pool.query('SELECT 1') },

  async run({ input: { item }, idempotencyKey }, ctx) {
    // `dependency`: what fails in here is the database's failure, not this agent's.
    const uses = { dependency: 'orders' }
    const [found] = await ctx.tool(
      'price',
      { item },
      () => query('SELECT price FROM items WHERE name = $1', [item]),
      uses,
    )
    const total = await ctx.step('think', () => wait(50, Number(found?.['price']) * 2)) // Here a model would be asked.
    await ctx.step('book', () => query(book, [idempotencyKey, item, total]), uses)
    return { total }
  },
})

/** Both or nothing, and nothing the second time: a task that is tried again takes no second loaf. */
const book = `
  WITH booked AS (INSERT INTO orders VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING item)
  UPDATE items SET stock = stock - 1 WHERE name IN (SELECT item FROM booked)`

/** Each query here may be repeated, so one whose connection broke is asked once more on another: no reason to fail a task. */
async function query(sql: string, values: readonly unknown[]): Promise<readonly Record<string, unknown>[]> {
  const ask = async () => (await pool.query<Record<string, unknown>>(sql, [...values])).rows
  return ask().catch((error: Error) => (wasLost(error) ? ask() : Promise.reject(error)))
}

function wasLost({ message, code }: Error & { readonly code?: string }): boolean {
  return code === '57P01' || code === 'ECONNRESET' || /terminated unexpectedly|not queryable/.test(message)
}
