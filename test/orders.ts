import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Client } from 'pg'
import type { Postgres } from './postgres.ts'

const example = new URL('../examples/database/', import.meta.url)

/** The agent of examples/database. */
export const ordersAgent = fileURLToPath(new URL('agents/orders.ts', example))

const items = ['bread', 'salt', 'wine']
const stock = 1_000_000 * items.length

export const orderOf = (n: number) => ({ item: items[n % items.length] ?? '' })

/** Makes its tables. */
export async function prepareOrders({ url }: Postgres): Promise<void> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(readFileSync(new URL('schema.sql', example), 'utf8'))
  } finally {
    await client.end()
  }
}

/** How many orders were booked, and how often something was taken from the stock for them. */
export async function booked(database: Postgres): Promise<{ readonly orders: number; readonly taken: number }> {
  const sql = `SELECT (SELECT count(*)::int FROM orders) AS orders, ${stock} - sum(stock)::int AS taken FROM items`
  const [row] = await database.query<{ orders: number; taken: number }>(sql, 'work')
  return row ?? { orders: 0, taken: 0 }
}
