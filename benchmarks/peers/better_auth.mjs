// Better Auth over PostgreSQL, with its bearer plugin and counting rate limits. Arguments: port, "same" for the
// argon2id parameters of the issuer or "own" for its default hash, the folder of PostgreSQL's socket, the database.
import { createServer } from 'node:http';
import { hash, verify } from '@node-rs/argon2';
import { betterAuth } from 'better-auth';
import { getMigrations } from 'better-auth/db/migration';
import { toNodeHandler } from 'better-auth/node';
import { bearer } from 'better-auth/plugins';
import pg from 'pg';

const [port, hashing, sockets, name] = process.argv.slice(1);
const high = { window: 60, max: 1_000_000_000 };
const same = {
  hash: (password) => hash(password, { memoryCost: 19456, timeCost: 2, parallelism: 1 }),
  verify: ({ hash: stored, password }) => verify(stored, password),
};
const options = {
  baseURL: `http://127.0.0.1:${port}`,
  secret: 'a secret of at least 32 characters',
  database: new pg.Pool({ host: sockets, port: 5432, user: 'postgres', database: name, max: 16 }),
  emailAndPassword: { enabled: true, ...(hashing === 'same' ? { password: same } : {}) },
  rateLimit: { enabled: true, ...high, customRules: { '/sign-in/*': high, '/sign-up/*': high } },
  session: { cookieCache: { enabled: false } },
  telemetry: { enabled: false },
  logger: { level: 'error' },
  plugins: [bearer()],
};
const { runMigrations } = await getMigrations(options);
await runMigrations();
createServer(toNodeHandler(betterAuth(options))).listen(Number(port), '127.0.0.1');
