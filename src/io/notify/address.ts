import { type LookupAddress, lookup as systemLookup } from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'
import type { AllowPrivate } from '../../model/notification.ts'

/*
 * Which addresses a notification may go to. The check stands where the
 * connection is made: the address that was checked is the one that is
 * connected to, so a name that resolves to another one a moment later (DNS
 * rebinding) gains nothing.
 */

/** Not for the public network: IANA's special-purpose registry, multicast, and what is reserved. */
const special4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10', // Carrier-grade NAT.
  '127.0.0.0/8',
  '169.254.0.0/16', // Link-local; 169.254.169.254 hands out a cloud machine's credentials.
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
]
/** Outside it nothing is globally routed: ::1, mapped and translated IPv4 (::ffff:, 64:ff9b::), fc00::, fe80::, ff00::. */
const global6 = ['2000::/3']
const special6 = [
  '2001::/23', // Teredo among them, which carries an IPv4 address.
  '2001:db8::/32',
  '2002::/16', // 6to4 carries an IPv4 address.
  '3fff::/20',
]

const special = { ipv4: listOf(special4), ipv6: listOf(special6) }
const routed = listOf(global6)

/** Networks in CIDR notation, or single addresses. */
function listOf(networks: readonly string[]): BlockList {
  const list = new BlockList()
  for (const network of networks) {
    const [address = '', bits] = network.split('/')
    const family = isIP(address) === 4 ? 'ipv4' : 'ipv6'
    if (bits === undefined) list.addAddress(address, family)
    else list.addSubnet(address, Number(bits), family)
  }
  return list
}

/** Whether one resolved address may be connected to. */
export type MayConnect = (address: string) => boolean

export function connectRule(allow: AllowPrivate): MayConnect {
  if (allow === true) return () => true
  const allowed = listOf(allow === false ? [] : allow)
  return (text) => {
    const address = text.replace(/%.*$/, '') // The zone of a link-local address says nothing about it.
    switch (isIP(address)) {
      case 4:
        return allowed.check(address, 'ipv4') || !special.ipv4.check(address, 'ipv4')
      case 6:
        if (allowed.check(address, 'ipv6')) return true
        return routed.check(address, 'ipv6') && !special.ipv6.check(address, 'ipv6')
      default:
        return false
    }
  }
}

/** The target is refused; trying again changes nothing. */
export class ForbiddenAddressError extends Error {
  override readonly name = 'ForbiddenAddressError'

  constructor(host: string, address: string) {
    const what = host === address ? address : `${host} is ${address}, which`
    super(`${what} is a private or reserved address. Set allowPrivate on this notifier if it may be reached.`)
  }
}

/** As the system's own: all addresses of a name. */
export type Resolve = (
  host: string,
  callback: (error: Error | null, addresses: readonly LookupAddress[]) => void,
) => void

export const systemResolve: Resolve = (host, callback) => systemLookup(host, { all: true }, callback)

/** For `http.request`: one forbidden address among a name's addresses refuses the name. */
export function guardedLookup(mayConnect: MayConnect, resolve: Resolve): LookupFunction {
  return (host, options, callback) => {
    resolve(host, (error, addresses) => {
      const first = addresses?.[0]
      if (error !== null) return callback(error, '')
      if (first === undefined) return callback(new Error(`${host} has no address`), '')
      const forbidden = addresses.find(({ address }) => !mayConnect(address))
      if (forbidden !== undefined) return callback(new ForbiddenAddressError(host, forbidden.address), '')
      if (options.all === true) return callback(null, [...addresses])
      callback(null, first.address, first.family)
    })
  }
}

/** A host that is an address already is connected to without any lookup. @throws ForbiddenAddressError */
export function checkLiteral(hostname: string, mayConnect: MayConnect): void {
  const host = hostname.replace(/^\[(.*)\]$/, '$1')
  if (isIP(host) !== 0 && !mayConnect(host)) throw new ForbiddenAddressError(host, host)
}
