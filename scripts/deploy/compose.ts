/**
 * The Compose file and Prometheus' configuration beside it. By rules of our own: the one schema of it that npm has is of 2021 and not the
 * project's; `docker compose config`, where there is an engine, says the rest.
 */
import { posix } from 'node:path';
import { parse } from 'yaml';
import { secondsOf, settingsOf, stopMs, withSecrets } from './settings.ts';
import { fieldsOf, get, listOf, type Tree, textOf } from './tree.ts';

export interface ComposeFacts {
  readonly version: string;
  /** For paths from the project's root. */
  readonly exists: (path: string) => boolean;
}

const TOP = ['name', 'services', 'networks', 'secrets', 'volumes'];
// biome-ignore format: a list of words.
const SERVICE = ['build', 'image', 'restart', 'read_only', 'cap_drop', 'security_opt', 'environment', 'ports', 'networks', 'ulimits', 'mem_limit',
  'stop_grace_period', 'command', 'volumes', 'depends_on', 'secrets'];
/** Where Compose mounts them. */
const SECRETS_FOLDER = '/run/secrets/';

export function composeProblems(path: string, text: string, prometheusText: string, facts: ComposeFacts): string[] {
  const problems: string[] = [];
  const compose: Tree = parse(text);
  const expect = (isOk: boolean, problem: string): void => {
    if (!isOk) problems.push(`${path}: ${problem}`);
  };
  for (const key of Object.keys(fieldsOf(compose)))
    expect(TOP.includes(key), `${key} is not known here (scripts/deploy/compose.ts)`);
  const services = fieldsOf(compose, 'services');
  for (const [name, service] of Object.entries(services)) {
    for (const key of Object.keys(fieldsOf(service)))
      expect(SERVICE.includes(key), `${name}: ${key} is not known here (scripts/deploy/compose.ts)`);
    const image = textOf(service, 'image') ?? '';
    expect(/^[\w./-]+:v?\d[\w.-]*$/.test(image), `${name}: the image must have a version, got ${image || 'none'}`);
    expect(listOf(service, 'cap_drop').includes('ALL'), `${name}: all capabilities must be dropped`);
    for (const network of listOf(service, 'networks'))
      expect(String(network) in fieldsOf(compose, 'networks'), `${name}: no network ${network}`);
    for (const other of namesOf(service, 'depends_on'))
      expect(other in services, `${name}: depends on ${other}, which is no service`);
    for (const port of listOf(service, 'ports'))
      expect(
        /^127\.0\.0\.1:\d+:\d+$/.test(String(port)),
        `${name}: ${port} must be published on 127.0.0.1 only: nothing here encrypts`,
      );
    for (const secret of listOf(service, 'secrets'))
      expect(String(secret) in fieldsOf(compose, 'secrets'), `${name}: no secret ${secret}`);
    for (const volume of listOf(service, 'volumes')) {
      const source = String(volume).split(':')[0] as string;
      if (source.startsWith('.')) {
        const target = posix.join(posix.dirname(path), source);
        expect(facts.exists(target), `${name}: there is no ${target}`);
      } else expect(source in fieldsOf(compose, 'volumes'), `${name}: no volume ${source}`);
    }
  }
  const relay = services['relay'];
  const env = fieldsOf(relay, 'environment') as Record<string, string>;
  const secrets = listOf(relay, 'secrets').map((secret) => `${SECRETS_FOLDER}${secret}`);
  const { config, problems: settingProblems } = settingsOf(`${path}: relay`, {
    env,
    readFile: withSecrets(env, (file) => secrets.includes(file)),
  });
  problems.push(...settingProblems);
  expect(textOf(relay, 'image') === `clari-relay:${facts.version}`, `relay: the image must be clari-relay:${facts.version}`);
  expect(get(relay, 'read_only') === true, 'relay: the root file system must be read-only');
  if (config === null) return problems;
  const published = listOf(relay, 'ports').map((port) => Number(String(port).split(':').at(-1)));
  expect(published.includes(config.port), `relay: port ${config.port} is not published`);
  expect(!published.includes(config.opsPort), 'relay: the ops port must not be published');
  const graceText = textOf(relay, 'stop_grace_period') ?? '10s';
  const graceMs = 1_000 * (secondsOf(graceText) ?? 0);
  expect(graceMs >= stopMs(config), `relay: stop_grace_period is ${graceText}, a stop takes up to ${stopMs(config) / 1_000} s`);
  const openFiles = Number(get(relay, 'ulimits', 'nofile', 'soft'));
  expect(openFiles > config.connectionsMax, `relay: nofile is ${openFiles}, connectionsMax ${config.connectionsMax}`);

  const prometheus: Tree = parse(prometheusText);
  if (config.opsTokenFile !== '')
    expect(
      listOf(prometheus, 'scrape_configs').some((job) => textOf(job, 'authorization', 'credentials_file') === config.opsTokenFile) &&
        listOf(services['prometheus'], 'secrets').some((secret) => `${SECRETS_FOLDER}${secret}` === config.opsTokenFile),
      `prometheus does not give the token in ${config.opsTokenFile}`,
    );
  const targets = listOf(prometheus, 'scrape_configs').flatMap((job) => listOf(job, 'static_configs', 0, 'targets'));
  expect(targets.includes(`relay:${config.opsPort}`), `prometheus does not scrape relay:${config.opsPort}`);
  expect(
    listOf(prometheus, 'scrape_configs').some((job) => textOf(job, 'job_name') === 'clari-relay'),
    'prometheus: the job must be called clari-relay',
  );
  return problems;
}

/** Of a list, or of the keys of an object. */
function namesOf(tree: Tree, name: string): string[] {
  const names = listOf(tree, name);
  return names.length > 0 ? names.map(String) : Object.keys(fieldsOf(tree, name));
}
