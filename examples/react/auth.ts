/** The client of this application, and the signed-in user for its components. */

import { useEffect, useState } from "react";

import { createClient, type User } from "./authkit.js";

export const auth = createClient({ issuer: "http://127.0.0.1:8000" });

/** Returns the user: `undefined` until that is known, `null` if no user is signed in. */
export function useUser(): User | null | undefined {
  const [user, setUser] = useState<User | null>();
  useEffect(() => {
    let mounted = true;
    const look = () =>
      auth.currentUser().then(
        (found) => mounted && setUser(found),
        (error) => console.warn(error.message), // offline: what is shown stays
      );
    void look();
    const stop = auth.onChange(look);
    addEventListener("online", look);
    return () => {
      mounted = false;
      stop();
      removeEventListener("online", look);
    };
  }, []);
  return user;
}
