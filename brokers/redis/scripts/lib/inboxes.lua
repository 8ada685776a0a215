-- inboxes: outcomes and commands collected during a script; each inbox gets them as one entry.
local INLINE = 16384 -- longer outcomes are not copied into inboxes: whoever waits reads the record
local outcomes, outcome_bytes, orders = {}, {}, {}
blocks.pieces = {}
local MAX_OUTCOME_BYTES = 131072 -- bytes of outcomes in one entry: fifty entries, one read, stay below 8 MB

local function notify(inboxes, id, status, outcome)
  for inbox in string.gmatch(inboxes, '%S+') do
    local list = outcomes[inbox]
    if not list then list = {}; outcomes[inbox] = list end
    local n, size = #list, (outcome_bytes[inbox] or 0) + #outcome
    local whole = #outcome <= INLINE and size <= MAX_OUTCOME_BYTES
    if whole then outcome_bytes[inbox] = size end
    list[n + 1] = id
    list[n + 2] = status
    list[n + 3] = whole and outcome or ''
  end
end

function blocks.notify(inboxes, block, places, letters, packed)
  -- of calls of a block: where they stand in it, how each ended, and their outcomes ('': whoever waits reads them)
  for inbox in string.gmatch(inboxes, '%S+') do
    local list = blocks.pieces[inbox]
    if not list then list = {}; blocks.pieces[inbox] = list end
    local size = (outcome_bytes[inbox] or 0) + #packed
    local whole = size <= MAX_OUTCOME_BYTES
    if whole then outcome_bytes[inbox] = size end
    list[#list + 1] = { block, places, letters, whole and packed or '' }
  end
end

local function order(process, what, id)
  local list = orders[process]
  if not list then list = {}; orders[process] = list end
  list[#list + 1] = what
  list[#list + 1] = id
end

local function deliver_inboxes()
  for inbox, list in pairs(blocks.pieces) do
    redis.pcall('XADD', P .. 'in:' .. inbox, 'NOMKSTREAM', '*', 'p', cmsgpack.pack(list))
  end
  for inbox, list in pairs(outcomes) do
    redis.pcall('XADD', P .. 'in:' .. inbox, 'NOMKSTREAM', '*', 'o', cmsgpack.pack(list))
  end
  for process, list in pairs(orders) do
    redis.pcall('XADD', P .. 'in:' .. process, 'NOMKSTREAM', '*', 'c', cmsgpack.pack(list))
  end
end
