// Better Auth with its JWT plugin, in memory. Arguments: port, the signature algorithm, the seconds after which
// a key is replaced.
import { createServer } from 'node:http';
import { betterAuth } from 'better-auth';
import { memoryAdapter } from 'better-auth/adapters/memory';
import { toNodeHandler } from 'better-auth/node';
import { jwt } from 'better-auth/plugins';

const [port, alg, rotation] = process.argv.slice(1);
const auth = betterAuth({
  baseURL: `http://127.0.0.1:${port}`,
  secret: 'a secret of at least 32 characters',
  database: memoryAdapter({ user: [], session: [], account: [], verification: [], jwks: [] }),
  emailAndPassword: { enabled: true },
  telemetry: { enabled: false },
  plugins: [jwt({ jwks: { keyPairConfig: { alg }, rotationInterval: Number(rotation) } })],
});
process.stdin.resume().on('end', () => process.exit());
createServer(toNodeHandler(auth)).listen(Number(port), '127.0.0.1', () => console.log('ready'));
