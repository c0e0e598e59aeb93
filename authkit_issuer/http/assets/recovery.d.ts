/** Recovery by users who lost every second factor, for a client of `authkit.js`. */

import type { Client, SecondFactor, SignInResult } from "./authkit.js";

/** A recovery that is open. `ready` is true from `completesAt` on, once the notices went out. */
export interface OpenRecovery {
  startedAt: Date;
  completesAt: Date;
  expiresAt: Date;
  ready: boolean;
}

/** What a sign-in that waits for its second factor answered. */
export type WaitingSignIn = Pick<SecondFactor, "userId" | "challenge">;

export interface Recovery {
  /** Starts a recovery, or shows the one that is open: offer `complete` if it is `ready`. Every contact gets a notice. */
  start(waiting: WaitingSignIn): Promise<OpenRecovery>;
  /**
   * Drops every second factor after the wait, and signs in. Rejects with `two_factor_enrollment_required` where policy
   * requires a new one: `metadata` has the token that adds it.
   */
  complete(waiting: WaitingSignIn): Promise<SignInResult>;
  /**
   * Cancels by the link of a notice: call it on the page `/cancel-recovery` after a click, and not when the page opens,
   * since scanners of mails open pages too. False if the page was opened without a token.
   */
  cancelByLink(): Promise<boolean>;
  /** The open recovery of the signed-in user, or null. */
  current(): Promise<OpenRecovery | null>;
  /** Cancels the recovery of the signed-in user. */
  cancel(): Promise<void>;
}

export function recoveryOf(client: Client): Recovery;
