import { type ReactNode, useState } from "react";

import { auth, useUser } from "./auth.js";
import { AuthkitError, type SignInResult, type User } from "./authkit.js";

export function App() {
  const user = useUser();
  if (user === undefined) return <p>Loading</p>;
  return user ? <Account user={user} /> : <Guest />;
}

function Account({ user }: { user: User }) {
  const signOut = (everywhere: boolean) => auth.signOut({ everywhere }).catch((error) => alert(error.message));
  return (
    <section>
      <h2 id="name">{user.username}</h2>
      <p id="email">{user.email}</p>
      <p id="biography">{String(user.biography ?? "")}</p>
      <button id="sign-out" onClick={() => signOut(false)}>Sign out</button>
      <button id="sign-out-everywhere" onClick={() => signOut(true)}>Sign out on every device</button>
    </section>
  );
}

/** What a code finishes: a registration, or a sign-in with a second factor. */
type Waiting = { destination: string; finish: (code: string) => Promise<SignInResult> };

function Guest() {
  const [waiting, setWaiting] = useState<Waiting>();

  function proceed({ secondFactor }: SignInResult) {
    if (!secondFactor) return; // useUser hears of it
    const finish = (code: string) => auth.completeSecondFactor(secondFactor, code);
    setWaiting({ destination: secondFactor.destination, finish });
  }

  async function signUp(fields: Fields) {
    const registration = await auth.signUp(fields);
    const finish = (code: string) => auth.confirm(registration, code);
    setWaiting({ destination: registration.email ?? registration.phone ?? "", finish });
  }

  if (waiting) {
    return (
      <Form id="code" title="Enter the code" submit={async ({ code }) => proceed(await waiting.finish(code))}>
        <p>It was sent to {waiting.destination}.</p>
        <label>Code <input name="code" autoComplete="one-time-code" required /></label>
      </Form>
    );
  }
  return (
    <>
      <Form id="sign-in" title="Sign in" submit={async (fields) => proceed(await auth.signIn(fields))}>
        <Credentials autoComplete="current-password" />
      </Form>
      <Form id="sign-up" title="Create an account" submit={signUp}>
        <Credentials autoComplete="new-password" />
      </Form>
    </>
  );
}

function Credentials({ autoComplete }: { autoComplete: string }) {
  return (
    <>
      <label>Email <input name="identifier" type="email" autoComplete="username" required /></label>
      <label>Password <input name="password" type="password" autoComplete={autoComplete} required /></label>
    </>
  );
}

type Fields = { identifier: string; password: string; code: string };
type FormProps = { id: string; title: string; submit: (fields: Fields) => Promise<void>; children: ReactNode };

function Form({ id, title, submit, children }: FormProps) {
  const [problem, setProblem] = useState("");

  async function run(data: FormData) {
    setProblem("");
    try {
      await submit(Object.fromEntries([...data].map(([name, value]) => [name, String(value)])) as Fields);
    } catch (error) {
      if (!(error instanceof AuthkitError)) throw error;
      setProblem(error.retryAfter ? `${error.message} Try again in ${error.retryAfter} seconds.` : error.message);
    }
  }

  return (
    <form id={id} onSubmit={(event) => (event.preventDefault(), run(new FormData(event.currentTarget)))}>
      <h2>{title}</h2>
      {children}
      <button>{title}</button>
      <p role="alert">{problem}</p>
    </form>
  );
}
