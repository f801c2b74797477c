/** examples/authenticated as its README runs it: a key pair, a relay, an issuer, a client. */
import process from 'node:process';
import t from 'tap';
import { Program } from '../support/program.ts';
import { freePort, relayProgram, startRelay } from '../support/relay-process.ts';

const NODE = [process.execPath, '--disable-warning=ExperimentalWarning'];

t.test('the client outlives its tokens, is refused what is not its own, and says so when there is no issuer', async (t) => {
  const directory = t.testdir({});
  const [issuerKey, relayKeys] = [`${directory}/issuer.jwk`, `${directory}/relay-keys.json`];
  const keygen = relayProgram(t, ['token', 'keygen', '--alg', 'ES256', '--private', issuerKey, '--keys', relayKeys]);
  t.match(await keygen.exited, { code: 0 });
  const topics = [{ match: 'rooms.*', stampPublisher: true }];
  const relay = await startRelay(t, { authKeysFile: relayKeys, tokenAudience: 'relay', topics });
  const port = await freePort();
  const issuer = new Program(t, [...NODE, 'examples/authenticated/issuer.ts', issuerKey, String(port)], {
    env: { TOKEN_SECONDS: '3' },
  });
  const tokenUrl = (await issuer.stdout.find(/^issuing tokens at/)).split(' ').at(-1) as string;
  const client = new Program(t, [...NODE, 'examples/authenticated/client.ts', 'ann', relay.url, tokenUrl]);
  await client.stdout.find(/^inbox/);
  await client.stdout.find(/^token: refreshed/);
  t.same(
    client.stdout.all.filter((line) => !line.startsWith('token')),
    [
      'state: connecting',
      'state: greeting',
      'state: open',
      'the relay knows us as ann',
      'ann: hello',
      'inbox.somebody-else: FORBIDDEN',
    ],
  );
  issuer.kill('SIGTERM');
  await issuer.exited;
  await client.stdout.find(/^token: .*; again at \d{4}-/);
  t.equal(client.stdout.all.filter((line) => line === 'state: connecting').length, 1, 'it is still connected');
  client.kill('SIGTERM');
  t.match(await client.exited, { code: 0 });
});
