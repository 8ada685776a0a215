-- prelude: what every verb shares. It is put in front of each script.
-- CARRIED (set before this line): queued runs travel as messages of another broker, see section 2.
-- KEYS[1] is the namespace prefix, ARGV[1] one msgpack value (old spec: no bin type), the reply is one msgpack value.
-- Key names and record fields are described in brokers/redis/keys.py.
local P = KEYS[1]
local GROUP = 'w'
local args = cmsgpack.unpack(ARGV[1])
local SETTLED = { C = true, F = true, K = true, Z = true, N = true }
local INLINE = 16384 -- longer outcomes are not copied into inboxes: whoever waits reads the record

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)

local function record(id) return P .. 'r:' .. id end
local function stream(route) return P .. 'q:' .. route end

-- 0. The journal: what changed in a script becomes one entry, from which lists of runs and histories are made. It is
-- trimmed by age (tidy.lua), and is no more than an index: the record is what is true.
local noted, begun = {}, {}

local function changed(id, status)
  local n = #noted
  noted[n + 1] = id
  noted[n + 2] = status
end

local function write_journal()
  if begun[1] then redis.call('XADD', P .. 'journal', '*', 's', cmsgpack.pack(begun)) end
  if noted[1] then redis.call('XADD', P .. 'journal', '*', 'e', cmsgpack.pack(noted)) end
end

-- 1. Inboxes: what is told during a script leaves it as one entry per inbox.
local told, orders = {}, {}

local function tell(inboxes, id, status, outcome)
  for inbox in string.gmatch(inboxes, '%S+') do
    local list = told[inbox]
    if not list then list = {}; told[inbox] = list end
    local n = #list
    list[n + 1] = id
    list[n + 2] = status
    list[n + 3] = #outcome <= INLINE and outcome or ''
  end
end

local function order(process, what, id)
  local list = orders[process]
  if not list then list = {}; orders[process] = list end
  list[#list + 1] = what
  list[#list + 1] = id
end

local function deliver_inboxes()
  for inbox, list in pairs(told) do
    redis.call('XADD', P .. 'in:' .. inbox, 'NOMKSTREAM', '*', 'o', cmsgpack.pack(list))
  end
  for process, list in pairs(orders) do
    redis.call('XADD', P .. 'in:' .. process, 'NOMKSTREAM', '*', 'c', cmsgpack.pack(list))
  end
end

-- 2. Queue entries. A ticket is "<route> <entry>": it names one delivery and is the fence of its outcome.
-- Where another broker carries the calls, a queued run has the ticket "@<route> <number>" until a worker that got the
-- message claims it; only then does it enter a stream, under that worker's name. Nothing is carried that was not first
-- written here: what `unpublished` and `outbox` name is published (again) until someone says that it was.
local unsent = nil -- a table while the caller publishes what this script queues
local function route_now(home, keeper, again)
  local route = home
  if keeper and redis.call('ZSCORE', P .. 'workers', keeper) then
    route = '~' .. keeper .. string.sub(home, -3)
  end
  if again then route = string.sub(route, 1, -3) .. 'r' .. string.sub(route, -1) end
  return route
end

local function queue_of(route) return string.sub(route, 1, -4) end

local function carry(id, route, task)
  local ticket = '@' .. route .. ' ' .. redis.call('INCR', P .. 'tickets')
  redis.call('HINCRBY', P .. 'carried', queue_of(route), 1)
  if unsent then
    unsent[#unsent + 1] = { id, ticket }
    redis.call('ZADD', P .. 'unpublished', now, id)
  else
    redis.call('XADD', P .. 'outbox', '*', 'i', id, 'e', ticket, 't', task)
  end
  return ticket
end

local function enqueue(id, again)
  local key = record(id)
  local f = redis.call('HMGET', key, 'q', 'p', 'j', 't')
  if not f[1] then return end
  if f[3] and tonumber(f[3]) > now then -- its countdown is not over though its upstreams are
    redis.call('HSET', key, 's', 'D')
    redis.call('ZADD', P .. 'delayed', f[3], id)
    return
  end
  local route = route_now(f[1], f[2], again)
  if CARRIED then
    redis.call('HSET', key, 's', 'Q', 'e', carry(id, route, f[4]))
    return
  end
  local entry = redis.call('XADD', stream(route), '*', 'i', id)
  redis.call('HSET', key, 's', 'Q', 'e', route .. ' ' .. entry)
end

local function is_carried(ticket) return string.sub(ticket, 1, 1) == '@' end

local function split_ticket(ticket)
  local space = string.find(ticket, ' ', 1, true)
  return string.sub(ticket, 1, space - 1), string.sub(ticket, space + 1)
end

-- Entries to be taken off their streams, collected so that one XACK and one XDEL serve a whole batch.
local off = {}

local function take_off(ticket)
  local route, entry = split_ticket(ticket)
  if is_carried(route) then -- its message finds that it has come too late
    redis.call('HINCRBY', P .. 'carried', queue_of(string.sub(route, 2)), -1)
    return
  end
  local list = off[route]
  if not list then list = {}; off[route] = list end
  list[#list + 1] = entry
end

local function take_off_all()
  for route, list in pairs(off) do
    local key = stream(route)
    for first = 1, #list, 1000 do
      local last = math.min(first + 999, #list)
      redis.call('XACK', key, GROUP, unpack(list, first, last))
      redis.call('XDEL', key, unpack(list, first, last))
    end
  end
end

local function owner_of(ticket)
  if is_carried(ticket) then return nil end
  local route, entry = split_ticket(ticket)
  local reply = redis.pcall('XPENDING', stream(route), GROUP, entry, entry, 1)
  if reply.err or not reply[1] then return nil end
  return reply[1][2]
end

-- An expiry is about the first start. f fields a and c of the record: retries and crashes.
local function has_started(retries, crashes)
  return tonumber(retries or 0) + tonumber(crashes or 0) > 0
end

-- 3. Named limits: a place is given back when a delivery ends, and the next run that waits is queued.
local function leave_limit(limit, id)
  local name, size = string.match(limit, '^(.*)|(%d+)$')
  local holders = P .. 'limit:' .. name
  -- One that held no place may have been called up and then cancelled: the next is called in its stead.
  if redis.call('ZREM', holders, id) == 0 and redis.call('ZCARD', holders) >= tonumber(size) then return end
  while true do
    local waiting = redis.call('LPOP', holders .. ':waiting')
    if not waiting then return end
    if redis.call('HGET', record(waiting), 's') == 'W' then
      enqueue(waiting, true)
      return
    end
  end
end

-- 4. The end of a run, and what it sets free. Recursion (a failure settles the dependants of dependants) is a list.
local counts = {}
local ended = {} -- runs whose dependants are to be released: id, status, ttl

local function finish(id, status, outcome, ttl, f, drop_body)
  -- f: fields t, w, d, l of the record
  local key = record(id)
  redis.call('HSET', key, 's', status, 'o', outcome)
  if drop_body then redis.call('HDEL', key, 'b') end
  redis.call('PEXPIRE', key, ttl)
  if f[2] then tell(f[2], id, status, outcome) end
  if f[3] then ended[#ended + 1] = { id, status, ttl } end
  if f[4] then leave_limit(f[4], id) end
  changed(id, status)
  local name = status .. ':' .. (f[1] or '?')
  counts[name] = (counts[name] or 0) + 1
end

local function end_now(id, status, text, ttl)
  finish(id, status, '\0' .. text, ttl, redis.call('HMGET', record(id), 't', 'w', 'd', 'l'))
end

local function release_one(item, upstream, completed, ttl)
  local goes_on = string.sub(item, -1) == '!'
  local id = goes_on and string.sub(item, 1, -2) or item
  local key = record(id)
  if redis.call('HGET', key, 's') ~= 'P' then return end
  if completed or goes_on then
    if redis.call('HINCRBY', key, 'n', -1) <= 0 then enqueue(id, false) end
  else
    end_now(id, 'N', upstream, ttl)
  end
end

-- Releases at most `budget` dependants; what is left goes to `releasing`, for the mover.
local function release_dependants(budget)
  local at = 1
  while ended[at] do
    local id, status, ttl = ended[at][1], ended[at][2], ended[at][3]
    local key = P .. 'd:' .. id
    while budget > 0 do
      local items = redis.call('LPOP', key, 100)
      if not items then break end
      for _, item in ipairs(items) do release_one(item, id, status == 'C', ttl) end
      budget = budget - #items
    end
    if budget <= 0 and redis.call('EXISTS', key) == 1 then
      redis.call('ZADD', P .. 'releasing', now, cmsgpack.pack({ id, status, ttl }))
    end
    at = at + 1
  end
end

-- Parks a run behind another one; false if that one has ended already, and how.
local function park_behind(id, upstream, goes_on)
  local status = redis.call('HGET', record(upstream), 's')
  if not status or SETTLED[status] then return false, status end
  redis.call('HSET', record(upstream), 'd', '1')
  redis.call('RPUSH', P .. 'd:' .. upstream, goes_on and id .. '!' or id)
  return true
end

local function close_script(budget)
  release_dependants(budget or 1000)
  take_off_all()
  deliver_inboxes()
  write_journal()
  for name, n in pairs(counts) do redis.call('HINCRBY', P .. 'counts', name, n) end
end
