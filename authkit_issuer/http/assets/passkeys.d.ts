/** Passkeys in the browser, for a client of `authkit.js`. */

import type { Client, SecondFactor, SignInResult } from "./authkit.js";

/** A passkey of the signed-in user. */
export interface Passkey {
  id: string;
  name: string;
  created_at: string;
  last_used_at: string | null;
  /** True if it is synced between devices. */
  backup_eligible: boolean;
  /** True if it signs in no more, because a copy of it was used. */
  suspended: boolean;
  [member: string]: unknown;
}

/** What the browser refused; a refusal of the issuer is an `AuthkitError`. */
export class PasskeyError extends Error {
  constructor(code: string, message: string, cause?: unknown);
  /** `passkey_not_used` (the user closed the dialog, or has no passkey here) or `passkeys_unsupported`. */
  code: string;
}

export interface Passkeys {
  /**
   * Signs in. Call it in the handler of a click; with `autofill` when the page opens, to offer passkeys in the fields
   * with `autocomplete="username webauthn"`. `signal` ends a form that waits.
   */
  signIn(options?: { org?: string; autofill?: boolean; signal?: AbortSignal }): Promise<SignInResult>;
  /** Finishes a sign-in that waits for its second factor, by one of the passkeys of its user. */
  completeSecondFactor(waiting: SecondFactor, more?: { rememberDevice?: boolean }): Promise<SignInResult>;
  /** Adds a passkey; with `automatic`, right after a sign-in by password, without a dialog where browsers can. */
  add(options?: { name?: string; automatic?: boolean }): Promise<Passkey>;
  /** Lists the passkeys of the user, and keeps the list of the browser in step. */
  list(): Promise<Passkey[]>;
  /** Proves again who the user is, after `step_up_required`; then repeat what was refused. */
  stepUp(): Promise<void>;
}

export function passkeysOf(client: Client): Passkeys;
