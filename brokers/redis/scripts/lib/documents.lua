-- documents: definitions that people make, the audit of who changed which, and what happens to them.
-- needs: events
local MOST_AUDITED = 100000

local function document(kind, id) return P .. 'doc:' .. kind .. ':' .. id end
local function names_of(kind) return P .. 'docname:' .. kind end

local function forget_name(kind, name, id)
  if look(names_of(kind), name)[1] == id then redis.call('HDEL', names_of(kind), name) end
end

local function note_in_audit(who, what, kind, id)
  local function add()
    return redis.pcall('XADD', P .. 'audit', 'MAXLEN', '~', MOST_AUDITED, '*', 'who', who, 'what', what, 'kind', kind, 'id', id)
  end
  local reply = add()
  if asked(reply, 'audit') ~= reply then add() end
end

-- What the kinds are called in events; of others there are none.
local CALLED = { deployment = 'deployment', pool = 'work-pool', limit = 'concurrency-limit', variable = 'variable',
  block = 'block-document', blocktype = 'block-type', automation = 'automation', flow = 'flow' }
local function definition_happened(what, kind, id, name)
  local called = CALLED[kind]
  if called then happen(called .. '.' .. what, thing(called, id, name)) end
end
