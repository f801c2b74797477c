/**
 * `npm test`: types, lint, generated pages, all tests, all benches in smoke size. See verify.ts.
 *
 *   npm test                          everything; the last line is `N passed, N failed`
 *   npm test -- test/unit/shm ring    only test files and benches whose path contains one of these
 */
import process from 'node:process';
import { verify } from './verify.ts';

process.exitCode = await verify({ withBenches: true, filters: process.argv.slice(2) });
