import type { Notification } from '../model/notification.ts'

/** `retry`: it may work later. `rejected`: it never will, so the rest must not wait for it. */
export type SendOutcome = 'sent' | { readonly retry: string } | { readonly rejected: string }

/** Tells people, somewhere else. Called for one notification at a time; it may hang, and is left when its time is up. */
export interface Notifier {
  readonly name: string
  readonly kind: string
  readonly timeoutMs: number
  send(notification: Notification, signal: AbortSignal): Promise<SendOutcome>
}
