/** `relay config check|print|document`: the configuration, without starting anything. */
import { readFileSync } from 'node:fs';
import { loadConfig, renderConfig, renderConfigDocs, renderDefaults } from '../app/config.ts';

const USAGE = `usage:
  relay config check [flags of relay serve]   say all that is wrong, or that nothing is
  relay config print [flags of relay serve]   the complete configuration as JSON, without its secrets
  relay config defaults                       every default as JSON
  relay config document                       the reference, in Markdown
`;

export async function config(argv: string[]): Promise<number> {
  const [action, ...flags] = argv;
  switch (action) {
    case 'document':
      process.stdout.write(renderConfigDocs());
      return 0;
    case 'defaults':
      process.stdout.write(renderDefaults());
      return 0;
    case 'check':
    case 'print': {
      const loaded = loadConfig({ argv: flags, env: process.env, readFile: (path) => readFileSync(path, 'utf8') });
      if (loaded.config === null) {
        process.stderr.write(`invalid configuration:\n${loaded.problems.map((problem) => `  ${problem}\n`).join('')}`);
        return 2;
      }
      process.stdout.write(action === 'check' ? 'the configuration is valid\n' : renderConfig(loaded.config));
      return 0;
    }
    default:
      process.stderr.write(USAGE);
      return action === '--help' ? 0 : 2;
  }
}
