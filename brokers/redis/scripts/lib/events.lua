-- events: what happened beside runs. Those of a script are one entry of the stream `evt`: a packed list of
-- { name, { label, value, ... }, { { label, value, ... }, ... } of what has to do with it, payload as JSON }.
-- tidy.lua trims the stream by age.
local happened = {}

local function thing(kind, id, called, role)
  -- the labels of something that has a name or not; with a role, of something that has to do with it
  local labels = { 'prefect.resource.id', 'prefect.' .. kind .. '.' .. id }
  if called and called ~= '' then labels[3] = 'prefect.resource.name'; labels[4] = called end
  if role then labels[#labels + 1] = 'prefect.resource.role'; labels[#labels + 1] = role end
  return labels
end

local function happen(name, resource, related, payload)
  happened[#happened + 1] = { 'prefect.' .. name, resource, related or {}, payload and cjson.encode(payload) or '' }
end

local function append_to_events(packed)
  local reply = redis.pcall('XADD', P .. 'evt', '*', 'e', packed)
  if asked(reply, 'evt') ~= reply then redis.call('XADD', P .. 'evt', '*', 'e', packed) end
end

local function write_events()
  if happened[1] then append_to_events(cmsgpack.pack(happened)) end
end
