// Writes stripe.json: what the official client's type definitions say about the objects and endpoints the simulator serves.
// It reads types only, and knows nothing of the simulator.

import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const HERE = dirname(fileURLToPath(import.meta.url));

// The redaction jobs are a public preview: only the client's preview releases have types for them.
const RELEASES = {
  stripe: [
    'Accounts', 'Balance', 'BalanceTransactions', 'Charges', 'Checkout/Sessions', 'Customers', 'Disputes', 'Events',
    'InvoiceLineItems', 'InvoiceItems', 'InvoicePayments', 'Invoices', 'LineItems', 'PaymentIntents', 'PaymentMethods', 'Plans', 'Prices', 'Products', 'Refunds',
    'SubscriptionItems', 'Subscriptions', 'WebhookEndpoints',
  ],
  'stripe-preview': ['Events', 'Privacy/RedactionJobs', 'Privacy/RedactionJobValidationErrors'],
};

// Value of `object` → the interfaces that describe it.
const KINDS = {
  account: ['Account'],
  balance: ['Balance'],
  balance_transaction: ['BalanceTransaction'],
  charge: ['Charge'],
  'checkout.session': ['Session'],
  customer: ['Customer', 'DeletedCustomer'],
  dispute: ['Dispute'],
  event: ['Event'],
  invoice: ['Invoice', 'DeletedInvoice'],
  invoice_payment: ['InvoicePayment'],
  invoiceitem: ['InvoiceItem', 'DeletedInvoiceItem'],
  item: ['LineItem'],
  line_item: ['InvoiceLineItem'],
  payment_intent: ['PaymentIntent'],
  payment_method: ['PaymentMethod'],
  plan: ['Plan', 'DeletedPlan'],
  price: ['Price', 'DeletedPrice'],
  'privacy.redaction_job': ['RedactionJob'],
  'privacy.redaction_job_validation_error': ['RedactionJobValidationError'],
  product: ['Product', 'DeletedProduct'],
  refund: ['Refund'],
  subscription: ['Subscription'],
  subscription_item: ['SubscriptionItem', 'DeletedSubscriptionItem'],
  webhook_endpoint: ['WebhookEndpoint', 'DeletedWebhookEndpoint'],
};

// What stands under `error` in a refusal is the same schema as what a failed payment keeps.
const ERROR = 'PaymentIntent.LastPaymentError';

// Endpoints the simulator has no use for, so that the table stays readable.
const LEFT_OUT = [
  /^\S+ \/v1\/accounts/,
  /customers\/\{id\}\/.*(sources|bank_accounts|cards|cash_balance|tax_ids|balance_transactions|funding_instructions|discount)/,
  /subscriptions\/\{id\}\/discount/,
  /\/(capabilities|external_accounts|login_links|persons|features|amount_details_line_items|test_helpers)/,
  /\/(apply_customer_balance|verify_microdeposits|increment_authorization|migrate|create_preview|add_lines|remove_lines|update_lines|attach_payment)$/,
  /^POST \/v1\/invoices\/\{id\}\/lines/,
  /\/v1\/plans/,
];

// The types say `number` for both; these are the ones that are no integers on the wire.
const FRACTION = /percent|^exchange_rate$|^(height|length|weight|width)$/;

// Payment methods besides cards hang on many objects, with dozens of fields each; the sandbox pays by card.
const CARD_LIKE = ['card', 'type', 'id', 'object', 'metadata', 'billing_details', 'customer', 'fingerprint'];

// Parts that only connected platforms and other payment methods use: objects, not looked into.
const OPAQUE = ['capabilities', 'company', 'future_requirements', 'individual', 'next_action', 'requirements'];

// An enumeration longer than this stands in a section of its own.
const LONG = 12;

const table = { releases: {}, kinds: KINDS, error: ERROR, endpoints: {}, events: {}, enums: {}, shapes: {} };

function read(release, files) {
  const root = join(HERE, 'node_modules', release);
  const esm = join(root, 'esm');
  table.releases[release] = {
    package: `stripe@${JSON.parse(readFileSync(join(root, 'package.json'))).version}`,
    api_version: /ApiVersion = '([^']+)'/.exec(readFileSync(join(esm, 'apiVersion.js'), 'utf8'))[1],
  };
  const paths = files.map((f) => join(esm, 'resources', `${f}.d.ts`));
  const program = ts.createProgram([join(esm, 'stripe.esm.node.d.ts'), ...paths], {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    types: [],
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
  });
  const reader = new Reader(program.getTypeChecker(), release !== 'stripe');
  const sources = paths.map((p) => program.getSourceFile(p) ?? fail(`no ${p}`));
  const wanted = new Set(Object.values(KINDS).flat());
  for (const source of sources) {
    for (const node of source.statements) {
      if (ts.isInterfaceDeclaration(node) && wanted.has(renamed(node.name.text))) reader.shape(reader.checker.getTypeAtLocation(node));
    }
  }
  for (const source of sources) {
    const calls = requests(source.fileName.replace(/\.d\.ts$/, '.js'));
    for (const node of source.statements) {
      if (ts.isClassDeclaration(node)) reader.endpoints(node, calls);
      if (ts.isTypeAliasDeclaration(node) && node.name.text === 'Event') reader.events(node);
    }
  }
}

// Method name → [verb, path] from the resource's code, where the types do not say it.
function requests(path) {
  const found = new Map();
  const source = ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.ES2022, true);
  const visit = (node, method) => {
    if (ts.isMethodDeclaration(node)) method = node.name.getText(source);
    if (ts.isCallExpression(node) && node.expression.getText(source) === 'this._makeRequest') {
      const [verb, url] = node.arguments;
      const text = ts.isTemplateExpression(url)
        ? url.head.text + url.templateSpans.map((s, i) => `{${i ? 'sub' : 'id'}}${s.literal.text}`).join('')
        : url.text;
      found.set(method, [verb.text, text]);
    }
    ts.forEachChild(node, (child) => visit(child, method));
  };
  visit(source);
  return found;
}

class Reader {
  constructor(checker, preview) {
    this.checker = checker;
    this.preview = preview;
    this.others = null;
  }

  endpoints(node, calls) {
    for (const member of node.members) {
      if (!ts.isMethodDeclaration(member) || !calls.has(member.name.getText())) continue;
      const key = calls.get(member.name.getText()).join(' ');
      if (key !== 'GET /v1/account' && LEFT_OUT.some((r) => r.test(key))) continue;
      if (table.endpoints[key]) continue;
      const params = member.parameters.find((p) => p.name.getText() === 'params');
      const taken = params ? this.object(this.checker.getNonNullableType(this.checker.getTypeAtLocation(params))) : null;
      table.endpoints[key] = { params: taken, returns: this.returned(member.type) };
    }
  }

  // `Promise<Response<T>>`, `ApiListPromise<T>` or `ApiSearchResultPromise<T>`.
  returned(node) {
    const wrapper = node.typeName.getText();
    const inner = node.typeArguments[0];
    if (wrapper === 'ApiListPromise') return `list<${this.describe(this.checker.getTypeAtLocation(inner))}>`;
    if (wrapper === 'ApiSearchResultPromise') return `search<${this.describe(this.checker.getTypeAtLocation(inner))}>`;
    return this.describe(this.checker.getTypeAtLocation(inner.typeArguments[0]));
  }

  // The type of an event → what stands in `data.object`.
  events(node) {
    for (const event of this.checker.getTypeAtLocation(node).types) {
      const of = (type, name) => this.checker.getTypeOfSymbol(this.checker.getPropertyOfType(type, name));
      const name = of(event, 'type').value;
      const object = of(of(event, 'data'), 'object').getSymbol()?.name ?? 'any';
      if (!this.preview || object.startsWith('RedactionJob')) table.events[name] = object;
    }
  }

  // Remembers an interface field by field, and returns its name.
  shape(type) {
    const name = qualified(type.getSymbol());
    if (table.shapes[name]) return name;
    const fields = (table.shapes[name] = {});
    for (const property of this.checker.getPropertiesOfType(type)) {
      // `deleted?: void` only tells the compiler which of two interfaces it sees.
      if (this.checker.typeToString(this.checker.getTypeOfSymbol(property)).startsWith('void')) continue;
      const optional = property.flags & ts.SymbolFlags.Optional ? '?' : '';
      fields[property.name + optional] = this.field(name, property);
    }
    return name;
  }

  field(owner, property) {
    const type = this.checker.getTypeOfSymbol(property);
    const parts = type.isUnion() ? type.types : [type];
    const opaque = OPAQUE.includes(property.name) || this.elsewhere().has(property.name);
    if (opaque && parts.some((p) => p.getSymbol()?.flags & ts.SymbolFlags.Interface)) return hasNull(type) ? 'object | null' : 'object';
    return this.describe(type, property.name, `${owner}.${property.name}`);
  }

  // The names of payment methods other than cards.
  elsewhere() {
    if (!this.others) {
      this.others = new Set();
      for (const name of ['PaymentMethod', 'Charge']) {
        const file = name === 'Charge' ? 'Charges' : 'PaymentMethods';
        for (const word of methodNames(file, name)) if (!CARD_LIKE.includes(word)) this.others.add(word);
      }
    }
    return this.others;
  }

  describe(type, name = '', path = '') {
    if (type.aliasSymbol?.name === 'Event') return 'Event';
    const parts = type.isUnion() ? type.types : [type];
    const present = parts.filter((p) => !(p.flags & ts.TypeFlags.Undefined));
    const literals = present.filter((p) => p.isStringLiteral()).map((p) => p.value).sort();
    const objects = present.filter((p) => this.isObject(p));
    const texts = present.some((p) => p.flags & ts.TypeFlags.String);
    const out = [];
    if (texts && objects.length) out.push(`id<${objects.map((o) => this.object(o)).join(', ')}>`);
    else if (texts) out.push('string');
    if (!texts || !objects.length) objects.forEach((o) => out.push(this.object(o)));
    if (literals.length > LONG) out.push(this.enumeration(path, literals));
    else out.push(...literals.map((l) => `'${l}'`));
    if (present.some((p) => p.flags & ts.TypeFlags.Number)) out.push(FRACTION.test(name) ? 'number' : 'integer');
    for (const p of present) if (p.isNumberLiteral()) out.push(String(p.value));
    const booleans = present.filter((p) => p.flags & ts.TypeFlags.BooleanLiteral);
    if (booleans.length === 2) out.push('boolean');
    else if (booleans.length) out.push(this.checker.typeToString(booleans[0]));
    for (const p of present) {
      const other = this.collection(p, name, path);
      if (other) out.push(other);
    }
    if (present.some((p) => p.flags & (ts.TypeFlags.Any | ts.TypeFlags.Unknown))) out.push('any');
    if (hasNull(type)) out.push('null');
    if (!out.length) fail(`${path}: cannot describe ${this.checker.typeToString(type)}`);
    return [...new Set(out)].join(' | ');
  }

  // An interface with fields of its own: neither a list nor a map nor a number in text.
  isObject(type) {
    const symbol = type.getSymbol();
    if (!(type.flags & ts.TypeFlags.Object) || !symbol) return false;
    if (this.checker.typeToString(type) === 'Decimal') return false;
    if (['ApiList', 'Array', 'ReadonlyArray', 'Date'].includes(symbol.name)) return false;
    return !this.checker.getIndexTypeOfType(type, ts.IndexKind.String);
  }

  collection(type, name, path) {
    if (this.checker.typeToString(type) === 'Decimal') return 'decimal';
    if (!(type.flags & ts.TypeFlags.Object)) return null;
    const symbol = type.getSymbol()?.name;
    if (symbol === 'ApiList') return `list<${this.describe(type.typeArguments?.[0] ?? type.aliasTypeArguments[0], name, path)}>`;
    if (symbol === 'Array') return `array<${this.describe(this.checker.getTypeArguments(type)[0], name, path)}>`;
    const values = this.checker.getIndexTypeOfType(type, ts.IndexKind.String);
    return values ? `map<${this.describe(values, name, path)}>` : null;
  }

  // An embedded or expanded object that the table does not follow is only named.
  object(type) {
    const symbol = type.getSymbol();
    const kind = this.checker.getPropertyOfType(type, 'object');
    const top = symbol.declarations?.[0]?.parent?.kind === ts.SyntaxKind.SourceFile;
    const known = Object.values(KINDS).flat();
    if (kind && top && !known.includes(renamed(symbol.name))) return symbol.name;
    return this.shape(type);
  }

  enumeration(path, values) {
    const same = Object.entries(table.enums).find(([, v]) => v.join() === values.join());
    const name = same ? same[0] : path;
    table.enums[name] = values;
    return `enum<${name}>`;
  }
}

// `Event` is the union of all events there; what they share is the object.
function renamed(name) {
  return name === 'EventBase' ? 'Event' : name;
}

function hasNull(type) {
  return type.isUnion() && type.types.some((p) => p.flags & ts.TypeFlags.Null);
}

// `Refund.DestinationDetails.Card`: namespaces up to the file.
function qualified(symbol) {
  const names = [];
  for (let s = symbol; s && !(s.flags & ts.SymbolFlags.ValueModule && s.declarations?.[0]?.kind === ts.SyntaxKind.SourceFile); s = s.parent) {
    names.unshift(renamed(s.name));
  }
  return names.join('.');
}

// The members of `PaymentMethod` and of `Charge.PaymentMethodDetails` that are named after a payment method.
function methodNames(file, name) {
  const path = join(HERE, 'node_modules/stripe/esm/resources', `${file}.d.ts`);
  const source = ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.ES2022, true);
  const found = [];
  const visit = (node) => {
    const wanted = name === 'Charge' ? 'PaymentMethodDetails' : 'PaymentMethod';
    if (ts.isInterfaceDeclaration(node) && node.name.text === wanted) {
      for (const member of node.members) if (member.type && ts.isTypeReferenceNode(member.type)) found.push(member.name.getText(source));
    }
    if (!ts.isInterfaceDeclaration(node)) ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

// JSON with one field a line, and long enumerations wrapped.
function print(table) {
  const sorted = (o) => Object.fromEntries(Object.entries(o).sort(([a], [b]) => (a < b ? -1 : 1)));
  const text = JSON.stringify({ ...table, endpoints: sorted(table.endpoints), events: sorted(table.events), enums: {}, shapes: sorted(table.shapes) }, null, 1);
  const flat = text.replace(/\{\n\s+("params": [^\n]+)\n\s+("returns": [^\n]+)\n\s+\}/g, '{ $1 $2 }').replace(/\[\n\s+([^\]{}]+?)\n\s+\]/g, (_, v) => `[${v.replace(/\s*\n\s*/g, ' ')}]`);
  const enums = Object.entries(sorted(table.enums)).map(([name, values]) => `  ${JSON.stringify(name)}: [\n${wrapped(values)}\n  ]`);
  return `${flat.replace('"enums": {}', `"enums": {\n${enums.join(',\n')}\n }`)}\n`;
}

function wrapped(values) {
  const lines = [''];
  for (const word of values.map((v) => JSON.stringify(v))) {
    const last = lines.at(-1);
    if (last.length + word.length > 130) lines.push(word);
    else lines[lines.length - 1] = last ? `${last}, ${word}` : word;
  }
  return lines.map((l) => `   ${l}`).join(',\n');
}

function fail(message) {
  throw new Error(message);
}

for (const [name, files] of Object.entries(RELEASES)) read(name, files);
writeFileSync(join(HERE, 'stripe.json'), print(table));
