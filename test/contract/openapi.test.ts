/**
 * docs/openapi.json against the gateway, in both directions: what is there is described, what is described is there, and every described
 * status is produced here by a real request whose real answer has the described shape.
 */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { HTTP_ROUTES, type HttpParameter, type HttpRoute } from '../../src/front/http-routes.ts';
import { pack } from '../../src/protocol/codec.ts';
import { WIRE_ERRORS } from '../../src/protocol/codes.ts';
import { EgressKind, withNumbers } from '../../src/protocol/records.ts';
import { MessageType } from '../../src/protocol/types.ts';
import { type Answer, GATEWAY_SESSION, Rig, type RigOptions, type WebSocketClient } from '../unit/front/http-rig.ts';
import { resolveRef, type Schema, schemaProblems } from './json-schema.ts';

interface MediaTypes {
  readonly [type: string]: { readonly schema: Schema; readonly example?: unknown };
}
interface Described {
  readonly $ref?: string;
  readonly headers?: Readonly<Record<string, { readonly schema: Schema }>>;
  readonly content: MediaTypes;
}
interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly required: boolean;
  readonly style?: string;
  readonly explode?: boolean;
  readonly schema: Record<string, unknown>;
}
interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly parameters: readonly Parameter[];
  readonly requestBody?: { readonly required: boolean; readonly content: MediaTypes };
  readonly responses: Readonly<Record<string, Described>>;
}

const text = readFileSync(new URL('../../docs/openapi.json', import.meta.url), 'utf8');
const document = JSON.parse(text) as {
  readonly openapi: string;
  readonly security: readonly Readonly<Record<string, readonly string[]>>[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
};
const MEDIA_TYPES = ['application/json', 'application/msgpack'];

function operationOf({ path, method }: HttpRoute): Operation {
  const operation = document.paths[path]?.[method.toLowerCase()];
  if (operation === undefined) throw new Error(`docs/openapi.json does not describe ${method} ${path}`);
  return operation;
}

function describedResponse(response: Described): Described {
  return response.$ref === undefined ? response : (resolveRef(document, response.$ref) as Described);
}

// ---- the table of routes

t.test('the document and the gateway have the same routes', async (t) => {
  const described = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  t.match(document.openapi, /^3\.1\./);
  t.same(described.sort(), HTTP_ROUTES.map(({ method, path }) => `${method} ${path}`).sort());
});

for (const route of HTTP_ROUTES) {
  t.test(`${route.method} ${route.path} is described as it is`, async (t) => {
    const { operationId, summary, parameters, requestBody } = operationOf(route);
    t.same({ operationId, summary }, { operationId: route.operation, summary: route.summary });
    t.same(
      parameters.map((parameter) => ({ name: parameter.name, type: parameterType(parameter), required: parameter.required })),
      route.parameters,
    );
    t.equal(requestBody !== undefined, route.body !== 'none');
    if (requestBody !== undefined) t.same(Object.keys(requestBody.content), MEDIA_TYPES);
  });
}

function parameterType({ in: place, style, explode, schema }: Parameter): HttpParameter['type'] | string {
  if (place !== 'query') return `in ${place}`;
  if (schema['type'] !== 'array') return schema['type'] as string;
  return style === 'form' && explode === true ? 'headers' : 'an array of another style';
}

t.test('every reference leads somewhere, and nothing is described that nobody uses', async (t) => {
  const refs = new Set([...text.matchAll(/"\$ref": "([^"]+)"/g)].map((match) => match[1] as string));
  for (const name of document.security.flatMap((one) => Object.keys(one))) refs.add(`#/components/securitySchemes/${name}`);
  for (const ref of refs) resolveRef(document, ref);
  const components = Object.entries(document.components).flatMap(([kind, entries]) =>
    Object.keys(entries).map((name) => `#/components/${kind}/${name}`),
  );
  t.same(components.sort(), [...refs].sort());
});

t.test('errors are described with every code there is', async (t) => {
  const fields = resolveRef(document, '#/components/schemas/Error/properties/error/properties') as Record<
    string,
    { enum: unknown[] }
  >;
  t.same(
    fields['code']?.enum,
    Object.values(WIRE_ERRORS).map(({ code }) => code),
  );
  t.same(fields['name']?.enum, Object.keys(WIRE_ERRORS));
});

// ---- real answers

/** One request that is answered with this status. `accept` is the answer's media type. */
interface Scenario {
  readonly status: number;
  readonly options?: RigOptions;
  readonly prepare?: (rig: Rig) => unknown;
  readonly target?: string;
  readonly type?: string;
  readonly body?: unknown;
  /** Instead of running the lane after the request. */
  readonly after?: (rig: Rig) => void;
}

const publishTo = (target: string) => (rig: Rig) => void rig.postJson(target, { text: 'x', data: { $bin: 'AQID' } });
const closeSession = (rig: Rig): void => {
  const record = withNumbers(GATEWAY_SESSION, 4505, new Uint8Array(0));
  rig.front.laneEvents.onRecord(0, EgressKind.CLOSE, record, new DataView(record.buffer), 0, record.length);
  rig.gateway.tick();
};
const timeOut = (rig: Rig): void => {
  rig.clock.advance(10_000);
  rig.gateway.tick();
};
const fillTopics = (rig: Rig): void => void rig.postJson('/v1/publish?topic=other', 1);
const { REGISTER, RETURN, INVOKE } = MessageType;
const ADD = '?service=math&method=add';
const register = (rig: Rig): WebSocketClient => {
  const instance = rig.connect('server');
  instance.say([REGISTER, 2, 'math', { version: '1.0.0', methods: ['add'] }]);
  return instance;
};
/** A call that reaches an instance, and what happens then: its answer, or something else. */
const served = (
  answer: ((callId: number, payload: unknown) => readonly unknown[]) | null,
  happens: (rig: Rig, instance: WebSocketClient) => void = () => {},
): Pick<Scenario, 'prepare' | 'after'> => {
  let instance: WebSocketClient;
  return {
    prepare: (rig) => {
      instance = register(rig);
    },
    after: (rig) => {
      rig.run();
      const [, callId, , , , payload] = instance.received(INVOKE)[0] as [number, number, string, string, object, unknown];
      if (answer !== null) instance.say(answer(callId, payload));
      happens(rig, instance);
      rig.run();
    },
  };
};
/** What any command to a lane may come to. */
const anyCommand: readonly Scenario[] = [
  { status: 500, after: closeSession },
  { status: 503, prepare: (rig) => rig.gateway.close() },
  { status: 504, after: timeOut },
  { status: 507, options: { lane: { topicsMax: 1 } }, prepare: fillTopics },
];

const SCENARIOS: Readonly<Record<HttpRoute['operation'], readonly Scenario[]>> = {
  publish: [
    { status: 200, body: { $bin: 'AQID' } },
    { status: 200, body: 1, prepare: publishTo('/v1/publish?topic=a&key=k'), target: '?topic=a&key=k' },
    { status: 200, body: 1, target: '?topic=plain.a' },
    { status: 400, body: 1, target: '?topic=a..b' },
    { status: 400, body: 1, target: '?topic=a&nonsense=1' },
    { status: 403, body: 1, target: '?topic=$relay.a' },
    { status: 413, body: 'x'.repeat(70_000) },
    { status: 413, body: 'x'.repeat(300_000) },
    { status: 415, body: 1, type: 'text/plain' },
    ...anyCommand.map((scenario) => ({ ...scenario, body: 1 })),
  ],
  publishBatch: [
    { status: 200, body: [{ topic: 'a', payload: 1 }], target: '' },
    { status: 200, body: [], target: '' },
    {
      status: 207,
      body: [{ topic: 'a', payload: 1, key: 'k' }, { topic: 'a', payload: 1, key: 'k' }, { topic: '$relay.a', payload: 1 }, 7],
      target: '',
    },
    { status: 207, body: [{ topic: 'a', payload: 1 }], target: '', after: timeOut },
    { status: 400, body: {}, target: '' },
    { status: 413, body: new Array(33).fill({ topic: 'a', payload: 1 }), target: '' },
    { status: 415, body: [], type: '', target: '' },
    { status: 503, body: [{ topic: 'a', payload: 1 }], target: '', prepare: (rig) => rig.gateway.close() },
  ],
  call: [
    { status: 200, body: { $bin: 'AQID' }, target: ADD, ...served((callId, payload) => [RETURN, callId, null, payload]) },
    { status: 400, body: 1, target: '?service=math&nonsense=1&method=add' },
    { status: 400, body: 1, target: ADD, ...served((callId) => [RETURN, callId, { more: true }, 1]) },
    { status: 400, body: 1, target: `${ADD}&deadlineMs=0` },
    { status: 413, body: 'x'.repeat(300_000), target: ADD },
    { status: 415, body: 1, type: 'text/plain', target: ADD },
    { status: 422, body: 1, target: ADD, ...served((callId) => [RETURN, callId, { error: { code: 'E', text: 'no' } }, null]) },
    { status: 500, body: 1, target: ADD, ...served(null, closeSession) },
    { status: 502, body: 1, target: ADD, ...served(null, (_, instance) => instance.leave()) },
    { status: 503, body: 1, target: ADD },
    { status: 503, body: 1, target: ADD, prepare: (rig) => rig.gateway.close() },
    { status: 504, body: 1, target: ADD, ...served(null, timeOut) },
  ],
  services: [
    { status: 200, target: '' },
    { status: 200, target: '?service=math&instances=true', prepare: register },
    { status: 400, target: '?service=a..b' },
    { status: 500, target: '', after: closeSession },
    { status: 503, target: '', prepare: (rig) => rig.gateway.close() },
    { status: 504, target: '', after: timeOut },
  ],
  history: [
    { status: 200 },
    { status: 200, prepare: publishTo('/v1/publish?topic=a&header=x:y') },
    { status: 200, prepare: publishTo('/v1/publish?topic=stamped.a'), target: '?topic=stamped.a' },
    { status: 400, target: '?topic=plain.a' },
    { status: 409, target: '?topic=a&sinceEpoch=another&sinceOffset=1' },
    ...anyCommand,
  ],
  presence: [
    { status: 200 },
    { status: 200, target: '?topic=a&countOnly=true' },
    { status: 200, prepare: (rig) => rig.connect('ada').say([MessageType.SUBSCRIBE, 2, 'a', { presence: { mood: 'good' } }]) },
    { status: 400, target: '?topic=absent.a' },
    ...anyCommand,
  ],
  position: [
    { status: 200 },
    { status: 200, prepare: publishTo('/v1/publish?topic=a') },
    { status: 400, target: '?topic=plain.a' },
    ...anyCommand,
  ],
};

for (const route of HTTP_ROUTES) {
  const { responses } = operationOf(route);
  const scenarios = SCENARIOS[route.operation];

  t.test(`${route.operation}: the statuses described are the statuses there are`, async (t) => {
    const described = Object.keys(responses).filter((status) => status !== 'default');
    t.same(described, [...new Set(scenarios.map(({ status }) => String(status)))].sort());
    t.ok(responses['default'] !== undefined, 'and clients are ready for those of later releases');
  });

  for (const scenario of scenarios) {
    for (const accept of MEDIA_TYPES) {
      t.test(
        `${route.operation}${scenario.target ?? '?topic=a'} answers ${scenario.status} in ${accept} as described`,
        async (t) => {
          const { status, headers, body } = play(route, scenario, accept);
          t.equal(status, scenario.status);
          const described = describedResponse(responses[String(status)] as Described);
          const schema = described.content[headers['Content-Type'] as string]?.schema;
          if (schema === undefined) throw new Error(`${headers['Content-Type']} is not described for ${status}`);
          t.same(schemaProblems(document, schema, body), []);
          const { 'Content-Type': type, 'Cache-Control': caching, ...others } = headers;
          t.same([type, caching], [accept, 'no-store']);
          t.same(Object.keys(others), Object.keys(described.headers ?? {}));
          for (const [name, value] of Object.entries(others))
            t.same(schemaProblems(document, described.headers?.[name]?.schema ?? false, Number(value)), []);
        },
      );
    }
  }
}

/** Bodies go in as JSON where JSON comes out, and as MessagePack otherwise: both ways are looked at. */
function play(route: HttpRoute, scenario: Scenario, accept: string): Answer {
  const rig = new Rig(scenario.options);
  scenario.prepare?.(rig);
  const isJson = accept === 'application/json';
  const body = scenario.body === undefined ? '' : isJson ? JSON.stringify(scenario.body) : pack(scenario.body);
  const answers = rig.send(route.method, `${route.path}${scenario.target ?? '?topic=a'}`, {
    type: scenario.type ?? accept,
    accept,
    body,
  });
  (scenario.after ?? ((rig: Rig) => rig.run()))(rig);
  if (answers.length !== 1) throw new Error(`${answers.length} answers`);
  return answers[0] as Answer;
}

// ---- examples

for (const route of HTTP_ROUTES) {
  const content = operationOf(route).requestBody?.content['application/json'];
  if (content?.example === undefined) continue;
  t.test(`the example of ${route.operation} is valid and works`, async (t) => {
    t.same(schemaProblems(document, content.schema, content.example), []);
    const target = route.parameters.length === 0 ? route.path : `${route.path}?topic=a`;
    t.equal(new Rig().postJson(target, content.example).status, 200);
  });
}

t.test('the checker checks', async (t) => {
  const error = (value: unknown): string[] => schemaProblems(document, { $ref: '#/components/schemas/Error' }, value);
  t.same(error({ error: { code: 100, name: 'BAD_REQUEST', text: 'x', details: null } }), []);
  t.match(error({ error: { code: 1, name: 'BAD_REQUEST', text: '', details: [] } }), [
    /code must be one of/,
    /text.length must be at least 1/,
    /details must be object,null/,
  ]);
  t.match(error({ error: {}, more: 1 }), [
    /code is missing/,
    /name is missing/,
    /text is missing/,
    /details is missing/,
    /more must not be there/,
  ]);
  t.throws(() => schemaProblems(document, { format: 'date' }, 1), { message: /not checked/ });
});
