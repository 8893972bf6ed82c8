// Backstage's reader of Microsoft Graph, as its catalog calls it: all users with the properties that everybody asks
// for, photos off. Its organization and its groups are not Graph's but none, so that users are all that is read.

import { createRequire } from 'node:module';
import path from 'node:path';
import { read } from './told.mjs';

const require = createRequire(path.join(process.env.BENCH_PACKAGES, 'of-this-folder.js'));
const { MicrosoftGraphClient, readMicrosoftGraphOrg } = require(
  '@backstage/plugin-catalog-backend-module-msgraph',
);

const origin = process.env.BENCH_ORIGIN;
const tenant = process.env.BENCH_DIRECTORY_ID;

const SELECT = [
  'id',
  'userPrincipalName',
  'mail',
  'displayName',
  'accountEnabled',
  'userType',
  'department',
  'employeeId',
  'jobTitle',
];

// Its own credential takes HTTPS alone.
let token;
const credential = {
  async getToken() {
    if (!token) {
      const answer = await fetch(`${origin}/${tenant}/oauth2/v2.0/token`, {
        method: 'POST',
        body: new URLSearchParams({
          grant_type: 'client_credentials',
          client_id: process.env.BENCH_CLIENT_ID,
          client_secret: process.env.BENCH_CLIENT_SECRET,
          scope: `${origin}/.default`,
        }),
      });
      const said = await answer.json();
      token = { token: said.access_token, expiresOnTimestamp: Date.now() + said.expires_in * 1000 };
    }
    return token;
  },
};

class Client extends MicrosoftGraphClient {
  async getOrganization(id) {
    return { id, displayName: 'Contoso' };
  }

  async *getGroups() {}
}

const logger = { debug() {}, info() {}, warn() {}, error() {}, child: () => logger };

await read(async () => {
  const client = new Client(`${origin}/v1.0`, credential);
  const { users } = await readMicrosoftGraphOrg(client, tenant, {
    userSelect: SELECT,
    loadUserPhotos: false,
    logger,
  });
  return users.map(user => user.metadata.annotations['graph.microsoft.com/user-id']);
});
