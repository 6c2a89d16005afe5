// Logs in with nodemailer and sends one raw message: node login.mjs PORT METHOD LOGIN SECRET < message
// METHOD is PLAIN, LOGIN or XOAUTH2. Prints the server's last reply; fails, with the error's text, when refused.
import nodemailer from "nodemailer";

const [port, method, user, secret] = process.argv.slice(2);
const parts = [];
for await (const part of process.stdin) parts.push(part);
const auth = method === "XOAUTH2" ? { type: "OAuth2", user, accessToken: secret } : { user, pass: secret };
const transport = nodemailer.createTransport({
  host: "127.0.0.1",
  port: Number(port),
  secure: false,
  ignoreTLS: true,
  name: "client.example.org",
  authMethod: method,
  auth,
});
const envelope = { from: "alice@example.com", to: ["bob@example.net"] };
const result = await transport.sendMail({ envelope, raw: Buffer.concat(parts) });
console.log(result.response);
transport.close();
