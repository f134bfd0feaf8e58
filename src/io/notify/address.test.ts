import { expect, test } from 'vitest'
import { checkLiteral, connectRule, ForbiddenAddressError, guardedLookup } from './address.ts'

/** Each network from both sides of its edges, and the disguises of S11. */
const refused = [
  ...['0.0.0.0', '10.0.0.0', '10.255.255.255', '100.64.0.0', '100.127.255.255', '127.0.0.1', '127.255.255.255'],
  ...['169.254.0.0', '169.254.169.254', '172.16.0.0', '172.31.255.255', '192.0.0.1', '192.0.2.1', '192.88.99.1'],
  ...['192.168.0.0', '192.168.255.255', '198.18.0.1', '198.19.255.255', '198.51.100.7', '203.0.113.9'],
  ...['224.0.0.1', '239.255.255.255', '240.0.0.1', '255.255.255.255'],
  ...['::', '::1', '::ffff:10.0.0.1', '::ffff:0a00:0001', '::ffff:93.184.216.34', '::10.0.0.1', '::7f00:1'],
  ...['64:ff9b::10.0.0.1', '64:ff9b::a00:1', '64:ff9b:1::1', '100::1', '2001::1', '2001:db8::1', '2002:a00:1::'],
  ...['2002::', '3fff::1', 'fc00::1', 'fdff::1', 'fe80::1', 'fe80::1%eth0', 'febf::1', 'fec0::1', 'ff02::1'],
  ...['', 'localhost', '0x7f000001', '2130706433', '127.1'],
]
const fine = [
  ...['1.1.1.1', '9.255.255.255', '11.0.0.0', '93.184.216.34', '100.63.255.255', '100.128.0.0', '126.255.255.255'],
  ...['128.0.0.1', '169.253.255.255', '169.255.0.0', '172.15.255.255', '172.32.0.0', '192.167.255.255'],
  ...['192.169.0.0', '223.255.255.255', '2606:4700::1111', '2001:4860:4860::8888', '2003::1', '2001:200::1'],
]

test.each(refused)('%s is not connected to', (address) => {
  expect(connectRule(false)(address)).toBe(false)
})

test.each(fine)('%s is', (address) => {
  expect(connectRule(false)(address)).toBe(true)
})

test.each([
  { allow: true, address: '127.0.0.1', may: true },
  { allow: ['10.1.0.0/16'], address: '10.1.255.255', may: true },
  { allow: ['10.1.0.0/16'], address: '10.2.0.0', may: false },
  { allow: ['10.1.0.0/16'], address: '127.0.0.1', may: false },
  { allow: ['10.1.0.0/16'], address: '93.184.216.34', may: true },
  { allow: ['::1'], address: '::1', may: true },
  { allow: ['::1'], address: '::2', may: false },
  { allow: ['fd00::/8'], address: 'fd12::1', may: true },
  { allow: ['fd00::/8'], address: 'fc12::1', may: false },
])('allowPrivate $allow: $address $may', ({ allow, address, may }) => {
  expect(connectRule(allow)(address)).toBe(may)
})

test.each([
  { url: 'http://0x7f000001/', host: '127.0.0.1' },
  { url: 'http://2130706433/', host: '127.0.0.1' },
  { url: 'http://0177.0.0.1/', host: '127.0.0.1' },
  { url: 'http://127.1/', host: '127.0.0.1' },
  { url: 'http://[::ffff:10.0.0.1]/', host: '::ffff:a00:1' },
  { url: 'http://[2002::]/', host: '2002::' },
  { url: 'http://①②⑦.0.0.1/', host: '127.0.0.1' },
])('$url is $host, whose disguise the check sees through', ({ url, host }) => {
  expect(() => checkLiteral(new URL(url).hostname, connectRule(false))).toThrow(host)
})

test('a name is no address: it is checked when it is resolved', () => {
  expect(() => checkLiteral('localhost', connectRule(false))).not.toThrow()
})

const look = (addresses: readonly string[], all: boolean) =>
  new Promise<unknown>((resolve) => {
    const lookup = guardedLookup(connectRule(false), (_host, callback) =>
      callback(
        null,
        addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
      ),
    )
    lookup('name.example', { all }, (error, address, family) => resolve(error ?? [address, family]))
  })

test.each([
  { name: 'one private', addresses: ['10.0.0.1'] },
  { name: 'a public one before a private one', addresses: ['93.184.216.34', '127.0.0.1'] },
  { name: 'a public one before a mapped one', addresses: ['93.184.216.34', '::ffff:127.0.0.1'] },
])('a name with $name among its addresses is refused', async ({ addresses }) => {
  for (const all of [true, false]) expect(await look(addresses, all)).toBeInstanceOf(ForbiddenAddressError)
})

test('a name with public addresses gives those that were checked, in the form that was asked for', async () => {
  const addresses = ['93.184.216.34', '2606:4700::1111']
  expect(await look(addresses, false)).toEqual(['93.184.216.34', 4])
  expect(await look(addresses, true)).toEqual([
    [
      { address: '93.184.216.34', family: 4 },
      { address: '2606:4700::1111', family: 6 },
    ],
    undefined,
  ])
  expect(await look([], true)).toMatchObject({ message: 'name.example has no address' })
})
