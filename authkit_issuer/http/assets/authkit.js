// @ts-check
/**
 * The browser's client of an authkit issuer: sign-up, sign-in, refresh, sign-out. ES2022, no dependency.
 * `authkit.d.ts` describes every name for users.
 *
 * @typedef {import("./authkit.js").Storage} Storage
 * @typedef {import("./authkit.js").Change} Change
 * @typedef {import("./authkit.js").SecondFactor} SecondFactor
 * @typedef {{ access: string, since: number, renew: number, ends: number }} Token
 * @typedef {Record<string, any>} Json
 * @typedef {(method: string, path: string, body?: object, token?: string | null) => Promise<Json>} Send
 * @typedef {<T>(work: () => Promise<T>) => Promise<T>} Exclusive
 */

const TIMEOUT = 20_000; // of one request: a tab that waits without end would hold the lock of all others
const EARLY = 30_000; // an access token is renewed this long before it ends, or a fifth of its life
const YOUNG = 5_000; // a 401 for a token of this age is not about its end: renewing it again would loop
const POPUP_LIFE = 600_000; // the issuer keeps a login under way for ten minutes

export class AuthkitError extends Error {
  /** @param {string} code @param {string} message @param {Json} [more] */
  constructor(code, message, { status = 0, retryAfter = null, param, metadata = {}, requestId, cause } = {}) {
    super(message, { cause });
    this.name = "AuthkitError";
    this.code = code;
    this.status = status;
    this.retryAfter = retryAfter;
    this.param = param;
    this.metadata = metadata;
    this.requestId = requestId;
  }
}

/** @param {(path: string) => string} at @returns {Send} */
function sender(at) {
  return async (method, path, body, token) => {
    /** @type {Record<string, string>} */
    const headers = { accept: "application/json" };
    if (body) headers["content-type"] = "application/json";
    if (token) headers.authorization = `Bearer ${token}`;
    const text = body && JSON.stringify(snake(body)), signal = AbortSignal.timeout(TIMEOUT);
    const request = { method, headers, signal, body: text, cache: "no-store", credentials: "include" };
    const answer = await fetch(at(path), /** @type {RequestInit} */ (request)).catch((cause) => {
      throw new AuthkitError("network", `No answer of ${at("")}: offline, or not in its cors_origins.`, { cause });
    });
    const json = await answer.json().catch(() => null); // a proxy answers with a page
    if (answer.ok && json) return json;
    const { error = "unexpected_answer", error_description: message = `HTTP ${answer.status}`, ...more } = json ?? {};
    const retryAfter = Number(answer.headers.get("retry-after")) || null;
    throw new AuthkitError(error, message, { status: answer.status, retryAfter, requestId: more.request_id, ...more });
  };
}

/** Returns an object with the names of the issuer's members. @param {object} body */
function snake(body) {
  const renamed = (/** @type {string} */ name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return Object.fromEntries(Object.entries(body).map(([name, value]) => [renamed(name), value]));
}

/** Returns what runs one piece of work at a time, in all tabs. @param {string} name @returns {Exclusive} */
function exclusive(name) {
  if (globalThis.navigator?.locks) return async (work) => navigator.locks.request(name, work);
  return globalThis.localStorage ? leased(name) : (work) => work();
}

/** The same by a lease in localStorage, for pages without Web Locks. @param {string} name @returns {Exclusive} */
function leased(name) {
  return async (work) => {
    const mine = random(), lease = () => (localStorage.getItem(name) ?? " 0").split(" ");
    while (lease()[0] !== mine) {
      if (Number(lease()[1]) < Date.now()) localStorage.setItem(name, `${mine} ${Date.now() + 2 * TIMEOUT}`);
      await new Promise((go) => setTimeout(go, 40 + 40 * Math.random())); // of two that wrote, the later one holds it
    }
    try {
      return await work();
    } finally {
      if (lease()[0] === mine) localStorage.removeItem(name);
    }
  };
}

const random = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** @returns {Storage} */
function inMemory() {
  let kept = /** @type {string | null} */ (null);
  return { get: async () => kept, set: async (token) => void (kept = token) };
}

/** IndexedDB and not localStorage: a tab that gets the lock must read what the last holder wrote.
 * @param {string} name @returns {Storage} */
function inDatabase(name) {
  /** @param {IDBTransactionMode} mode @param {(kept: IDBObjectStore) => IDBRequest} work */
  const transact = (mode, work) => new Promise((resolve, reject) => {
    const opening = indexedDB.open(name, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("session");
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const transaction = opening.result.transaction("session", mode);
      const request = work(transaction.objectStore("session"));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error);
      opening.result.close();
    };
  });
  return {
    get: async () => (await transact("readonly", (kept) => kept.get("refresh_token"))) ?? null,
    set: async (token) => void (await transact("readwrite", (kept) => kept.put(token, "refresh_token"))),
  };
}

/** The session of this browser: its tokens, and what every tab knows of them. */
class Session {
  /** @type {Token | null} */ #token = null;
  /** @type {boolean | null} */ #signedIn = null;
  /** @type {Promise<void> | null} */ #renewing = null;
  /** @type {{ until: number, error: AuthkitError } | null} */ #refused = null;
  /** @type {BroadcastChannel | null} */ #channel = null;
  /** @type {Set<(change: Change) => void>} */ #listeners = new Set();
  #known = false; // whether the issuer or another tab has said if there is a session
  #changed = 0; // the time of the latest news: what other tabs say of an earlier time is out of date
  #storage;
  #send;
  #exclusive;

  /** @param {string} issuer @param {Send} send @param {"cookie" | "memory" | "indexeddb" | Storage} storage */
  constructor(issuer, send, storage) {
    const name = `authkit ${issuer}`, own = storage === "memory"; // a session of this tab alone
    const kinds = { cookie: () => null, memory: inMemory, indexeddb: () => inDatabase(name) };
    this.#send = send;
    this.#storage = typeof storage === "string" ? kinds[storage]() : storage;
    this.#exclusive = exclusive(own ? `${name} ${random()}` : name);
    if (own || typeof document === "undefined") return;
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }) => data.at > this.#changed && this.#become(data, true);
    // A page that comes back from the cache of the browser has heard nothing meanwhile.
    addEventListener("pageshow", ({ persisted }) => {
      if (persisted) [this.#token, this.#known] = [null, false];
    });
  }

  /** @param {(change: Change) => void} listener */
  listen(listener) {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Returns an access token, or null if no user is signed in. `refused` is one that a server did not accept.
   * @param {string} [refused] */
  async token(refused) {
    const held = this.#token;
    const good = held && (held.access !== refused || Date.now() - held.since < YOUNG);
    if (good && Date.now() < held.renew) return held.access;
    if (!held && this.#known) return null;
    try {
      await (this.#renewing ??= this.#renew(held).finally(() => (this.#renewing = null)));
    } catch (error) {
      if (good && Date.now() < held.ends) return held.access;
      throw error;
    }
    return this.#token?.access ?? null;
  }

  /** @param {Token | null} held */
  async #renew(held) {
    if (this.#refused && Date.now() < this.#refused.until) throw this.#refused.error;
    await this.#exclusive(async () => {
      if (this.#token !== held) return; // another tab was faster
      const kept = await this.#storage?.get();
      if (kept === null) return this.#end(null);
      try {
        await this.#keep(await this.#send("POST", "/auth/token", { grant_type: "refresh_token", refresh_token: kept }));
      } catch (error) {
        if (!(error instanceof AuthkitError)) throw error;
        const { code, param, metadata, retryAfter } = error;
        if (code === "invalid_grant") return this.#end(metadata.reason);
        if (code === "invalid_request" && param === "refresh_token") return this.#end(null); // there is no cookie
        if (retryAfter) this.#refused = { until: Date.now() + retryAfter * 1000, error };
        throw error;
      }
    });
  }

  /** Runs a request that may open a session. @param {() => Promise<Json>} work */
  open(work) {
    return this.#exclusive(async () => {
      const answer = await work();
      if (answer.access_token) await this.#keep(answer, true);
      return answer;
    });
  }

  close() {
    return this.#exclusive(async () => {
      const refreshToken = (await this.#storage?.get()) ?? undefined;
      await this.#send("POST", "/auth/logout", { refreshToken }, this.#token?.access).catch((error) => {
        if (error.status !== 401) throw error; // else the issuer knows of no session either
      });
      await this.#end("signed_out");
    });
  }

  /** @param {Json} answer */
  async #keep(answer, opened = false) {
    const refresh = answer.refresh_token ?? null;
    if (refresh && !this.#storage) {
      const message = 'The issuer keeps no cookie: set refresh_cookie there, or createClient({ storage: "memory" }).';
      throw new AuthkitError("refresh_cookie_off", message);
    }
    if (opened && !refresh && this.#storage) {
      const message = 'The issuer keeps the refresh token in a cookie: createClient({ storage: "cookie" }).';
      throw new AuthkitError("refresh_cookie_on", message);
    }
    if (refresh) await this.#storage?.set(refresh);
    this.adopt(answer, opened);
  }

  /** Goes on with an access token; the refresh token stays as it is. @param {Json} answer */
  adopt({ access_token: access, expires_in }, opened = false) {
    const since = Date.now(), life = expires_in * 1000, ends = since + life;
    this.#tell({ token: { access, since, ends, renew: ends - Math.min(EARLY, life / 5) }, reason: null, opened });
  }

  /** @param {string | null} reason */
  async #end(reason) {
    await this.#storage?.set(null);
    this.#tell({ token: null, reason, opened: false });
  }

  /** @param {{ token: Token | null, reason: string | null, opened: boolean }} news */
  #tell(news) {
    this.#refused = null;
    const dated = { ...news, at: Date.now() };
    this.#channel?.postMessage(dated);
    this.#become(dated, false);
  }

  /** @param {{ token: Token | null, reason: string | null, opened: boolean, at: number }} news
   * @param {boolean} elsewhere */
  #become({ token, reason, opened, at }, elsewhere) {
    const before = this.#signedIn, signedIn = token !== null;
    [this.#token, this.#signedIn, this.#known, this.#changed] = [token, signedIn, true, at];
    if (!opened && (before === null || before === signedIn)) return;
    for (const listener of this.#listeners) queueMicrotask(() => listener({ signedIn, reason, elsewhere }));
  }
}

/** @param {Json} told @returns {{ secondFactor: SecondFactor }} */
function secondFactorOf({ user_id: userId, challenge, method, destination, code_sent, factor_id: factorId, methods }) {
  const listed = typeof methods === "string" ? JSON.parse(methods) : methods ?? []; // a fragment holds texts
  const codeSent = `${code_sent}` !== "false";
  return { secondFactor: { userId, challenge, method, destination, codeSent, factorId, methods: listed } };
}

/** @param {Request} request @param {string | null} token */
function authorized(request, token) {
  if (token) request.headers.set("authorization", `Bearer ${token}`);
  return request;
}

/** Waits for what a popup of the issuer says. @param {Window} popup @param {string} origin @param {string} nonce
 * @returns {Promise<Json>} */
function heard(popup, origin, nonce) {
  return new Promise((resolve, reject) => {
    const began = Date.now();
    let closed = 0;
    const stop = () => (clearInterval(watch), removeEventListener("message", hear));
    const hear = (/** @type {MessageEvent} */ { origin: from, data }) => {
      if (from === origin && data?.nonce === nonce) (stop(), resolve(data));
    };
    const watch = setInterval(() => {
      closed += popup.closed ? 1 : 0; // a last message may still be on its way
      if (closed < 4 && Date.now() - began < POPUP_LIFE) return;
      stop();
      reject(new AuthkitError("popup_closed", "The window was closed before the login was complete."));
    }, 250);
    addEventListener("message", hear);
  });
}

/** @param {import("./authkit.js").Options} options @returns {import("./authkit.js").Client} */
export function createClient({ issuer, routePrefix = "/auth", storage = "cookie", apis = [] }) {
  issuer = issuer.replace(/\/+$/, "");
  const hosts = [globalThis.location?.hostname, new URL(issuer).hostname].sort().join(" and ");
  if (storage === "cookie" && hosts === "127.0.0.1 and localhost") {
    throw new AuthkitError("other_site", `No cookie goes between ${hosts}: use one of the two for page and issuer.`);
  }
  // A path without its slash would go on with the name of the host: ".example" would get the token.
  const at = (/** @type {string} */ path) =>
    issuer + path.replace(/^(?=[^/])/, "/").replace(/^\/auth\//, `${routePrefix}/`);
  const send = sender(at), session = new Session(issuer, send, storage);
  const origins = new Set([issuer, globalThis.location?.href ?? issuer, ...apis].map((url) => new URL(url).origin));

  /** @param {string} path @param {object} body */
  async function open(path, body) {
    try {
      const { created, return_to: returnTo } = await session.open(() => send("POST", path, body));
      return { user: await client.currentUser(), created, returnTo };
    } catch (error) {
      if (error instanceof AuthkitError && error.code === "two_factor_required") return secondFactorOf(error.metadata);
      throw error;
    }
  }

  /** Goes on with what the issuer said at the end of a login at a provider. @param {Json} told @param {string} [org] */
  async function trade(told, org) {
    const { error, result_code: code, provider } = told;
    if (code) return open("/auth/oidc/result", { code, org });
    if (error === "two_factor_required") return secondFactorOf(told);
    const message = `The login by ${provider} failed: ${error}.`;
    throw new AuthkitError(error ?? "unexpected_answer", message, { metadata: told });
  }

  /** @param {string} name @param {Record<string, string>} query */
  const loginUrl = (name, query) => at(`/auth/oidc/${encodeURIComponent(name)}/login?${new URLSearchParams(query)}`);

  /** @type {import("./authkit.js").Client} */
  const client = {
    accessToken: () => session.token(),
    onChange: (listener) => session.listen(listener),
    async fetch(input, init) {
      const request = new Request(input, init), { origin } = new URL(request.url);
      const message = `${origin} gets no access token: name it in createClient({ apis: [...] }).`;
      if (!origins.has(origin)) throw new AuthkitError("foreign_origin", message);
      const token = await session.token(), again = request.clone();
      const answer = await fetch(authorized(request, token));
      const fresh = answer.status === 401 && token ? await session.token(token) : token;
      return fresh && fresh !== token ? fetch(authorized(again, fresh)) : answer;
    },
    async request(method, path, body) {
      const token = await session.token();
      if (!token) throw new AuthkitError("signed_out", "No user is signed in.", { status: 401 });
      try {
        return await send(method, path, body, token);
      } catch (error) {
        const fresh = error instanceof AuthkitError && error.status === 401 ? await session.token(token) : token;
        if (!fresh || fresh === token) throw error;
        return send(method, path, body, fresh);
      }
    },
    currentUser: () => client.request("GET", "/auth/user/me").catch((error) => {
      if (error instanceof AuthkitError && error.status === 401) return null;
      throw error;
    }),
    signUp: (who) => send("POST", "/auth/register", who).then(
      ({ registration_id: registrationId, email, phone }) => ({ registrationId, email, phone })),
    confirm: ({ registrationId, email, phone }, code) =>
      email ? open("/auth/email/verify/confirm", { registrationId, email, code })
        : open("/auth/phone/verify/confirm", { registrationId, phoneNumber: phone, code }),
    resendCode: async ({ registrationId, email }) =>
      void (await send("POST", `/auth/register/resend-${email ? "email" : "phone"}`, { registrationId })),
    signIn: (who) => open("/auth/password/login", who),
    completeSecondFactor: ({ userId, challenge }, code, more) =>
      open("/auth/2fa/verify", { userId, challenge, code, ...more }),
    async chooseSecondFactor({ userId, challenge }, factorId) {
      const chosen = await send("POST", "/auth/2fa/challenge", { userId, challenge, factorId });
      return secondFactorOf({ ...chosen, user_id: userId, challenge }).secondFactor;
    },
    async signInWithPopup(provider, { org, width = 480, height = 640 } = {}) {
      const nonce = random(), url = loginUrl(provider, { ui: "popup", popup_nonce: nonce });
      const popup = window.open(url, nonce, `popup,width=${width},height=${height}`);
      if (!popup) throw new AuthkitError("popup_blocked", "The browser blocked the window: open it from a click.");
      return trade(await heard(popup, new URL(issuer).origin, nonce), org);
    },
    signInWithRedirect: (provider, { returnTo = "/" } = {}) =>
      location.assign(loginUrl(provider, { return_to: returnTo })),
    async completeRedirect({ org } = {}) {
      const told = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
      if (!told.provider) return null;
      history.replaceState(history.state, "", location.pathname + location.search); // a code works once
      const returnTo = /^\/(?!\/)[!-[\]-~]*$/.exec(told.return_to)?.[0]; // a forged link may say javascript:
      return { returnTo, ...(await trade(told, org)) };
    },
    async signOut({ everywhere = false } = {}) {
      if (everywhere && (await session.token())) await client.request("DELETE", "/auth/user/sessions");
      await session.close();
    },
    requestPasswordReset: (identifier) => send("POST", "/auth/password/reset/request", { identifier }).then(
      ({ request_id: requestId }) => ({ identifier, requestId })),
    async resetPassword(proof, newPassword) {
      const path = "token" in proof ? "/auth/password/reset/confirm-link" : "/auth/password/reset/confirm";
      await send("POST", path, { ...proof, newPassword });
    },
    changePassword: (change) => client.request("POST", "/auth/user/password", change),
    changeEmail: (change) => client.request("POST", "/auth/user/email/change/request", change),
    confirmEmail: (code) => client.request("POST", "/auth/user/email/change/confirm", { code }),
    changePhone: (change) => client.request("POST", "/auth/user/phone/change/request", change),
    confirmPhone: (proof) => client.request("POST", "/auth/user/phone/change/confirm", proof),
    sendStepUpCode: (factorId) => client.request("POST", "/auth/step-up/2fa", factorId ? { factorId } : {}),
    post: (path, body) => send("POST", path, body),
    openSession: open,
    async stepUp(proof) {
      const by = "password" in proof ? "password" : "credential" in proof ? "passkey/finish" : "2fa";
      session.adopt(await client.request("POST", `/auth/step-up/${by}`, proof));
    },
  };
  return client;
}
