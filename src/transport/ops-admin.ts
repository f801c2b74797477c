/**
 * The ops port's admin routes: POST /admin/revoke, GET /admin/revocations.
 *
 * Thread: main. Reads a request and writes an answer; what they mean is the app's, who may ask is the guard's.
 */
import { answer, answerLater, JSON_TYPE, TEXT } from './ops-answer.ts';
import type { OpsAccess, OpsRefusal } from './ops-guard.ts';
import type { UwsApp, UwsRequest, UwsResponse } from './uws-types.ts';

export interface AdminAnswer {
  readonly status: number;
  readonly body: object;
}

export interface AdminSources {
  revoke(request: unknown): Promise<AdminAnswer>;
  revocations(): AdminAnswer;
}

export const ADMIN_BODY_BYTES_MAX = 16_384;

export function routeAdmin(
  app: UwsApp,
  sources: AdminSources,
  check: (access: OpsAccess, request: UwsRequest) => OpsRefusal | null,
): void {
  app.get('/admin/revocations', (response, request) => {
    const refusal = check('admin', request);
    if (refusal !== null) return refuse(response, refusal);
    const { status, body } = sources.revocations();
    answer(response, status, JSON_TYPE, JSON.stringify(body));
  });
  app.post('/admin/revoke', (response, request) => {
    const refusal = check('admin', request);
    if (refusal !== null) return refuse(response, refusal);
    const type = request.getHeader('content-type').split(';', 1)[0]?.trim().toLowerCase();
    if (type !== JSON_TYPE) return answer(response, 415, TEXT, `the Content-Type must be ${JSON_TYPE}\n`);
    readJson(response, (value) => {
      const say = ({ status, body }: AdminAnswer): void => answer(response, status, JSON_TYPE, JSON.stringify(body));
      answerLater(response, 'the result', sources.revoke(value), say);
    });
  });
  for (const [path, method] of [
    ['/admin/revocations', 'GET'],
    ['/admin/revoke', 'POST'],
  ] as const)
    app.any(path, (response) => answer(response, 405, TEXT, `use ${method}\n`, [['Allow', method]]));
}

export function refuse(response: UwsResponse, { status, text, headers }: OpsRefusal): void {
  answer(response, status, TEXT, text, headers);
}

function readJson(response: UwsResponse, use: (value: unknown) => void): void {
  const chunks: Buffer[] = [];
  let bytes = 0;
  let isOver = false;
  response.onAborted(() => {
    isOver = true;
  });
  response.onData((chunk, isLast) => {
    if (isOver) return;
    bytes += chunk.byteLength;
    isOver = isLast || bytes > ADMIN_BODY_BYTES_MAX;
    if (bytes > ADMIN_BODY_BYTES_MAX) return answer(response, 413, TEXT, `the body may have ${ADMIN_BODY_BYTES_MAX} bytes\n`);
    chunks.push(Buffer.from(chunk.slice(0))); // The chunk is gone when this returns.
    if (!isLast) return;
    let value: unknown;
    try {
      value = JSON.parse(Buffer.concat(chunks).toString('utf8'));
    } catch {
      return answer(response, 400, TEXT, 'the body is no JSON\n');
    }
    use(value);
  });
}
