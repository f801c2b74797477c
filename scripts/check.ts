/** `npm run check`: the same as `npm test` without the benches, for while one works. Takes the same filters. */
import process from 'node:process';
import { verify } from './verify.ts';

process.exitCode = await verify({ withBenches: false, filters: process.argv.slice(2) });
