/** Under which name an address is counted. */
import t from 'tap';
import { addressKey } from '../../../../src/front/limits/address-key.ts';

for (const { address, want } of [
  { address: '192.0.2.7', want: '192.0.2.7' },
  { address: '::ffff:192.0.2.7', want: '192.0.2.7' },
  { address: '0000:0000:0000:0000:0000:ffff:c000:0207', want: '192.0.2.7' },
  { address: '::ffff:c000:207', want: '192.0.2.7' },
  { address: '2001:db8:1:2:3:4:5:6', want: '2001:db8:1:2::/64' },
  { address: '2001:0DB8:0001:0002::1', want: '2001:db8:1:2::/64' },
  { address: '2001:db8::1', want: '2001:db8:0:0::/64' },
  { address: '::1', want: '0:0:0:0::/64' },
  { address: '::', want: '0:0:0:0::/64' },
  { address: '64:ff9b::192.0.2.7', want: '64:ff9b:0:0::/64' },
  // No addresses: each its own name.
  { address: '', want: '' },
  { address: 'memory:3', want: 'memory:3' },
  { address: '1:2:3', want: '1:2:3' },
  { address: '::1::2', want: '::1::2' },
  { address: '1:2:3:4:5:6:7:8:9', want: '1:2:3:4:5:6:7:8:9' },
  { address: '1:2:3:4:5:6:7::8', want: '1:2:3:4:5:6:7::8' },
  { address: '2001:db8::xyz', want: '2001:db8::xyz' },
]) {
  t.test(`'${address}' is counted as '${want}'`, async (t) => t.equal(addressKey(address), want));
}
