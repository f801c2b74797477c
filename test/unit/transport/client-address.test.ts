/** Whose word on a client's address counts. */
import t from 'tap';
import { ClientAddresses, canonicalAddress, parseNetwork } from '../../../src/transport/client-address.ts';

for (const { text, want } of [
  { text: '192.0.2.1', want: '192.0.2.1' },
  { text: '::ffff:192.0.2.1', want: '192.0.2.1' },
  // As uWebSockets.js writes them.
  { text: '0000:0000:0000:0000:0000:ffff:c000:0201', want: '192.0.2.1' },
  { text: '0000:0000:0000:0000:0000:0000:0000:0001', want: '::1' },
  { text: '2001:0DB8:0000:0000:0000:0000:0000:0001', want: '2001:db8::1' },
  { text: 'fe80::1%eth0', want: '' },
  { text: '192.0.2.256', want: '' },
  { text: '010.0.0.1', want: '' },
  { text: 'unknown', want: '' },
  { text: '', want: '' },
])
  t.test(`the address '${text}' is '${want}'`, async (t) => t.equal(canonicalAddress(text), want));

for (const text of ['10.0.0.0/8', '192.0.2.7', 'fd00::/8', '::1', '0.0.0.0/0', '::/0'])
  t.test(`${text} is a network`, async (t) => t.not(parseNetwork(text), null));
for (const text of [
  '10.0.0.0/33',
  '10.0.0/8',
  'fd00::/129',
  '10.0.0.0/',
  '10.0.0.0/8/8',
  '10.0.0.0/08',
  'proxy',
  '',
  'fe80::1%1/64',
])
  t.test(`'${text}' is no network`, async (t) => {
    t.equal(parseNetwork(text), null);
    t.throws(() => new ClientAddresses([text]), RangeError);
  });

const PROXIES = ['10.0.0.0/8', '2001:db8:1::/48'];
const CLIENT = '198.51.100.9';

for (const { name, peer = '10.0.0.1', proxied = '', forwardedFor = '', want } of [
  { name: 'a stranger, who says nothing', peer: CLIENT, want: CLIENT },
  { name: 'a stranger, who claims to be another', peer: CLIENT, forwardedFor: '10.0.0.5', proxied: '10.0.0.6', want: CLIENT },
  { name: 'a proxy without a word', want: '10.0.0.1' },
  { name: 'a proxy with X-Forwarded-For', forwardedFor: CLIENT, want: CLIENT },
  { name: 'what a client put before', forwardedFor: `10.9.9.9, 127.0.0.1, ${CLIENT}`, want: CLIENT },
  { name: 'a chain of our own', forwardedFor: `6.6.6.6, ${CLIENT}, 10.1.1.1, 10.2.2.2`, want: CLIENT },
  { name: 'proxies all the way', forwardedFor: '10.3.3.3,10.1.1.1', want: '10.3.3.3' },
  { name: 'a port behind it', forwardedFor: `${CLIENT}:51234`, want: CLIENT },
  { name: 'IPv6 in brackets with a port', forwardedFor: '[2001:db8:2::9]:51234', want: '2001:db8:2::9' },
  { name: 'IPv6 in brackets', forwardedFor: '[2001:db8:2::9]', want: '2001:db8:2::9' },
  { name: 'IPv6 as it is', forwardedFor: '2001:DB8:2::9', want: '2001:db8:2::9' },
  { name: 'an IPv6 proxy', peer: '2001:0db8:0001:0000:0000:0000:0000:0005', forwardedFor: CLIENT, want: CLIENT },
  {
    name: 'an IPv4 proxy on an IPv6 socket',
    peer: '0000:0000:0000:0000:0000:ffff:0a00:0001',
    forwardedFor: CLIENT,
    want: CLIENT,
  },
  { name: 'what is no address', forwardedFor: `${CLIENT}, unknown`, want: '10.0.0.1' },
  { name: 'what is no address, behind a believed one', forwardedFor: `${CLIENT}, _hidden, 10.1.1.1`, want: '10.1.1.1' },
  { name: 'nothing between commas', forwardedFor: `${CLIENT},`, want: '10.0.0.1' },
  { name: 'a PROXY header', proxied: CLIENT, want: CLIENT },
  { name: 'a PROXY header, and what that client says', proxied: CLIENT, forwardedFor: '6.6.6.6', want: CLIENT },
  { name: 'a PROXY header that names a proxy, and its word', proxied: '10.4.4.4', forwardedFor: CLIENT, want: CLIENT },
  { name: 'a chain without an end', forwardedFor: Array(100).fill('10.1.1.1').join(','), want: '10.1.1.1' },
])
  t.test(`behind proxies: ${name}`, async (t) =>
    t.equal(new ClientAddresses(PROXIES).clientOf(peer, proxied, forwardedFor), want),
  );

t.test('without trusted proxies nobody is believed, loopback included', async (t) => {
  const addresses = new ClientAddresses([]);
  t.equal(addresses.trustsAnybody, false);
  t.equal(addresses.clientOf('127.0.0.1', CLIENT, CLIENT), '127.0.0.1');
});
