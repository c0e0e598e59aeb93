/** Sign-in by a message in the browser, for a client of `authkit.js`. */

import type { Client, SignInResult } from "./authkit.js";

export interface Passwordless {
  /**
   * Sends a message to an address or number, if it can get one: the answer does not tell. This browser keeps the id of
   * the sign-in for `expiresIn` seconds. `returnTo` is a path of the app, which `completeLink` answers.
   */
  start(who: { identifier: string; org?: string; returnTo?: string }): Promise<{ expiresIn: number }>;
  /** Signs in by the code of the message, in the browser that began. */
  confirm(code: string): Promise<SignInResult>;
  /**
   * Signs in by the link of a mail: call it on the page `/sign-in`. Null if the page was opened without a token. Rejects
   * with `sign_in_began_elsewhere` in another browser than the one that began: ask for the code of the mail there.
   */
  completeLink(): Promise<SignInResult | null>;
}

export function passwordlessOf(client: Client): Passwordless;
