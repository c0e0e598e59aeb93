/** The browser's client of an authkit issuer. Every method may reject with an `AuthkitError`. */

export interface Options {
  /** The URL of the issuer, such as `https://auth.example.com`. */
  issuer: string;
  /** The issuer's `route_prefix`, if it is not `/auth`. Paths are named with `/auth` all the same. */
  routePrefix?: string;
  /**
   * Where the refresh token is.
   *
   * - `"cookie"` (default): in an `HttpOnly` cookie, which no script can read. The issuer needs `refresh_cookie`, and
   *   page and issuer must be same-site.
   * - `"memory"`: in this tab, until it is reloaded or closed. Each tab has a session of its own.
   * - `"indexeddb"`: in this browser, shared by its tabs. Every script of the page can read it.
   * - an object: your own store, which must be the same for all tabs of a browser.
   */
  storage?: "cookie" | "memory" | "indexeddb" | Storage;
  /** Further origins that `fetch` may send the access token to; the page's and the issuer's always get it. */
  apis?: readonly string[];
}

export interface Storage {
  get(): Promise<string | null>;
  set(token: string | null): Promise<void>;
}

/** The members of `GET /auth/user/me` that a page most often shows; the OpenAPI document has all of them. */
export interface User {
  id: string;
  username: string;
  email: string | null;
  phone_number: string | null;
  roles: string[];
  [member: string]: unknown;
}

/** A sign-in that waits for the code that was sent to `destination`, which is masked. */
/** A second factor of the user; `hint` is the masked address or number, or the name. */
export interface SecondFactorMethod {
  id: string;
  kind: "totp" | "email" | "sms" | "passkey";
  hint: string;
}

export interface SecondFactor {
  userId: string;
  challenge: string;
  /** The kind of the factor that is asked for. */
  method: string;
  /** Where the code went, masked; empty for a factor that has no code to send. */
  destination: string;
  /** False if no new code was sent: the one before still works, an app has its own, or a backup code. */
  codeSent: boolean;
  factorId: string | null;
  /** The factors to choose from, the default first. */
  methods: SecondFactorMethod[];
}

export interface SignedIn {
  /** Null if the code belonged to an account that was there already: its user signs in with the password. */
  user: User | null;
  secondFactor?: undefined;
  /** True if a login at a provider made the account. */
  created?: boolean;
  /** The path that the page asked the login to return to. */
  returnTo?: string;
}

export interface SecondFactorRequired {
  secondFactor: SecondFactor;
  user?: undefined;
  returnTo?: string;
}

export type SignInResult = SignedIn | SecondFactorRequired;

/** A registration or reset that waits for its code. Keep it in the page: the code counts only together with it. */
export interface Registration {
  registrationId: string;
  email?: string;
  phone?: string;
}

export interface PasswordReset {
  identifier: string;
  requestId: string;
}

export interface Change {
  signedIn: boolean;
  /** Why the session ended: `signed_out`, or the issuer's reason, such as `evicted`. */
  reason: string | null;
  /** True if it happened in another tab. */
  elsewhere: boolean;
}

export class AuthkitError extends Error {
  constructor(code: string, message: string, more?: Record<string, unknown>);
  /**
   * The issuer's code, such as `invalid_credentials`, or one of the client: `network`, `signed_out`, `popup_blocked`,
   * `popup_closed`, `foreign_origin`, `other_site`, `refresh_cookie_off`, `refresh_cookie_on`, `unexpected_answer`.
   */
  code: string;
  /** The HTTP status; 0 if there was no answer. */
  status: number;
  /** Seconds after which the request may be repeated, if the issuer said so. */
  retryAfter: number | null;
  /** The member of the request that was refused. */
  param: string | undefined;
  metadata: Record<string, any>;
  /** The id of the request in the log of the issuer. */
  requestId: string | undefined;
}

export interface Client {
  /**
   * Starts a registration; a code is on its way. Without `username` the issuer derives one. Without `password` the user
   * signs in by a passkey: add one after `confirm`.
   */
  signUp(who: { identifier: string; password?: string; username?: string }): Promise<Registration>;
  /** Finishes a registration with the code, and signs in. */
  confirm(registration: Registration, code: string): Promise<SignInResult>;
  resendCode(registration: Registration): Promise<void>;

  /** Signs in with an email address, phone number or user name. */
  signIn(who: { identifier: string; password: string; org?: string }): Promise<SignInResult>;
  completeSecondFactor(
    waiting: SecondFactor, code: string, more?: { backupCode?: boolean; rememberDevice?: boolean },
  ): Promise<SignInResult>;
  /** Asks for another second factor, of `methods`, and has its code sent. */
  chooseSecondFactor(waiting: SecondFactor, factorId: string): Promise<SecondFactor>;
  /** Signs in at a provider in a window. Call it in the handler of a click, before anything is awaited. */
  signInWithPopup(
    provider: string, options?: { org?: string; width?: number; height?: number },
  ): Promise<SignInResult>;
  /** Leaves the page for a provider, which sends the browser to the issuer's `login_callback_url`. */
  signInWithRedirect(provider: string, options?: { returnTo?: string }): void;
  /** Finishes a login by redirect on the page of `login_callback_url`; null if the URL holds none. */
  completeRedirect(options?: { org?: string }): Promise<SignInResult | null>;

  /** Returns the signed-in user, or null. */
  currentUser(): Promise<User | null>;
  /** Returns an access token that is valid for a while, or null if no user is signed in. */
  accessToken(): Promise<string | null>;
  /**
   * As the browser's `fetch`, with the access token. A 401 refreshes the token and repeats the request once.
   *
   * Rejects with `foreign_origin` for an origin that is neither the page's nor the issuer's nor one of `apis`.
   */
  fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response>;
  /** Calls any operation of the issuer as the signed-in user: `request("GET", "/auth/user/sessions")`. */
  request(method: string, path: string, body?: object): Promise<any>;
  /** Calls a public operation of the issuer. */
  post(path: string, body?: object): Promise<any>;
  /** The same with an operation that opens a session, such as `/auth/passkeys/login/finish`. */
  openSession(path: string, body: object): Promise<SignInResult>;
  /** Calls `listener` when a user signs in or out, in any tab. Returns a function that stops this. */
  onChange(listener: (change: Change) => void): () => void;
  /** Ends this session, or with `everywhere` all sessions of the user. */
  signOut(options?: { everywhere?: boolean }): Promise<void>;

  /** Sends a code or link, if an account goes with the identifier; the answer does not say if one does. */
  requestPasswordReset(identifier: string): Promise<PasswordReset>;
  /** Replaces the password by a code and the request it was sent for, or by the token of a link. */
  resetPassword(proof: (PasswordReset & { code: string }) | { token: string }, newPassword: string): Promise<void>;
  changePassword(change: { currentPassword?: string; newPassword: string }): Promise<unknown>;
  /** Sends a code to another address, which `confirmEmail` puts in force. */
  changeEmail(change: { newEmail: string; password?: string }): Promise<unknown>;
  confirmEmail(code: string): Promise<unknown>;
  /** Sends a code to another number, which `confirmPhone` puts in force. */
  changePhone(change: { phoneNumber: string; password?: string }): Promise<unknown>;
  confirmPhone(proof: { phoneNumber: string; code: string }): Promise<unknown>;
  /** Proves again who the user is, after `step_up_required`; then repeat what was refused. */
  stepUp(
    proof: { password: string } | { code: string; backupCode?: boolean; factorId?: string } | { credential: object },
  ): Promise<void>;
  /** Sends a code for `stepUp`. */
  sendStepUpCode(factorId?: string): Promise<{ destination: string; method: string; methods?: SecondFactorMethod[] }>;
}

/**
 * Makes the client of one issuer; a page needs one.
 *
 * Throws `AuthkitError` `other_site` if the page is on localhost and the issuer on 127.0.0.1, or the other way round.
 */
export function createClient(options: Options): Client;
